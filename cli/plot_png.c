/* A plot as PNG by cairo. The library is loaded here and only here: nothing else waits for it to start,
 * and a machine without it still has SVG. */
#include "plot.h"
#ifdef WA_HAVE_CAIRO
#include <cairo.h>
#include <dlfcn.h>

#define SCALE 2.0 /* pixels a unit: sharp on dense screens */
#define CAIRO(X)                                                                                                                                       \
    X(image_surface_create) X(create) X(scale) X(set_source_rgb) X(paint) X(rectangle) X(fill) X(move_to) X(line_to) X(set_line_width) X(stroke)         \
    X(select_font_face) X(set_font_size) X(text_extents) X(show_text) X(surface_write_to_png) X(status) X(destroy) X(surface_destroy) X(status_to_string)
typedef struct library {
    void *handle;
#define FIELD(name) __typeof__(&cairo_##name) name;
    CAIRO(FIELD)
#undef FIELD
} library;

static bool load(library *l, char *why, size_t why_size)
{
    l->handle = dlopen("libcairo.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!l->handle) {
        snprintf(why, why_size, "PNG needs libcairo2, which is not here (%s); write .svg instead", dlerror());
        return false;
    }
#define FIND(name)                                                                                                                                     \
    *(void **)&l->name = dlsym(l->handle, "cairo_" #name);                                                                                             \
    if (!l->name) {                                                                                                                                    \
        snprintf(why, why_size, "PNG: this libcairo has no cairo_" #name);                                                                            \
        dlclose(l->handle);                                                                                                                            \
        return false;                                                                                                                                  \
    }
    CAIRO(FIND)
#undef FIND
    return true;
}

static void colour(const library *l, cairo_t *c, uint32_t rgb) { l->set_source_rgb(c, (rgb >> 16 & 255) / 255.0, (rgb >> 8 & 255) / 255.0, (rgb & 255) / 255.0); }

static void draw(const library *l, cairo_t *c, const plot_item *i)
{
    colour(l, c, i->rgb);
    if (i->kind == PLOT_RECT) {
        l->rectangle(c, i->x, i->y, i->w, i->h);
        l->fill(c);
    } else if (i->kind == PLOT_LINE) {
        l->move_to(c, i->x, i->y);
        l->line_to(c, i->x + i->w, i->y + i->h);
        l->stroke(c);
    } else {
        cairo_text_extents_t e;
        l->select_font_face(c, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, i->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
        l->set_font_size(c, i->size);
        l->text_extents(c, i->text, &e);
        l->move_to(c, i->x - (i->align == PLOT_RIGHT ? e.x_advance : i->align == PLOT_MIDDLE ? e.x_advance / 2 : 0), i->y);
        l->show_text(c, i->text);
    }
}

bool plot_write_png(const plot *p, const char *path, char *why, size_t why_size)
{
    library l;
    if (!load(&l, why, why_size)) return false;
    cairo_surface_t *s = l.image_surface_create(CAIRO_FORMAT_RGB24, (int)(p->width * SCALE), (int)(p->height * SCALE));
    cairo_t *c = l.create(s);
    l.scale(c, SCALE, SCALE);
    l.set_source_rgb(c, 1, 1, 1);
    l.paint(c);
    l.set_line_width(c, 1);
    for (size_t i = 0; i < p->count; i++) draw(&l, c, &p->items[i]);
    cairo_status_t status = l.status(c);
    if (status == CAIRO_STATUS_SUCCESS) status = l.surface_write_to_png(s, path);
    if (status != CAIRO_STATUS_SUCCESS) snprintf(why, why_size, "%s: %s", path, l.status_to_string(status));
    l.destroy(c);
    l.surface_destroy(s); /* the library stays: its font caches point into it */
    return status == CAIRO_STATUS_SUCCESS;
}
#else
bool plot_write_png(const plot *p, const char *path, char *why, size_t why_size)
{
    (void)p;
    snprintf(why, why_size, "%s: this build has no PNG (libcairo2-dev was missing); write .svg instead", path);
    return false;
}
#endif
