/* Lays the bars out: headings, labels, bars with whiskers from p10 to p90, an axis, a legend. */
#include "plot.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH      960.0
#define LABEL_END  300.0 /* labels end here, bars begin 10 further */
#define BAR_START  310.0
#define BAR_END    830.0 /* numbers stand to the right */
#define ROW        24.0
#define HEADING    34.0
#define TOP        64.0
enum { SERIES_MAX = 16 };
/* Okabe and Ito's colours: told apart by the colour-blind too. */
static const uint32_t palette[] = {0x0072b2, 0xe69f00, 0x009e73, 0xcc79a7, 0x56b4e9, 0xd55e00, 0xf0e442, 0x666666};
static const uint32_t ink = 0x222222, faint = 0xdddddd;

static plot_item *add(plot *p, plot_kind kind, double x, double y, double w, double h, uint32_t rgb)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        plot_item *grown = realloc(p->items, cap * sizeof *grown);
        if (!grown) {
            p->failed = true;
            return NULL;
        }
        p->items = grown;
        p->cap = cap;
    }
    p->items[p->count] = (plot_item){.kind = kind, .x = x, .y = y, .w = w, .h = h, .rgb = rgb, .size = 13};
    return &p->items[p->count++];
}

static plot_item *text(plot *p, double x, double y, plot_align align, const char *s)
{
    plot_item *i = add(p, PLOT_TEXT, x, y, 0, 0, ink);
    if (!i) return NULL;
    i->align = align;
    snprintf(i->text, sizeof i->text, "%s", s);
    return i;
}

typedef struct scale {
    double low, high;
    bool log;
} scale;

/* Logarithmic where the longest bar would hide the shortest. */
static scale scale_of(const plot_bar *bars, size_t count)
{
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < count; i++) {
        if (bars[i].median > 0 && bars[i].median < least) least = bars[i].median;
        if (bars[i].p90 > most) most = bars[i].p90;
        if (bars[i].median > most) most = bars[i].median;
    }
    if (most <= 0) return (scale){0, 1, false};
    if (most > 30 * least) return (scale){pow(10, floor(log10(least / 2))), pow(10, ceil(log10(most))), true};
    return (scale){0, most * 1.02, false};
}

static double place(const scale *s, double v)
{
    double t = s->log ? (v > s->low ? log(v / s->low) / log(s->high / s->low) : 0) : v / s->high;
    return BAR_START + (t < 0 ? 0 : t > 1 ? 1 : t) * (BAR_END - BAR_START);
}

/* 1, 2 or 5 times a power of ten, so that about five fit. */
static double tick_step(double range)
{
    double base = pow(10, floor(log10(range / 5))), r = range / 5 / base;
    return base * (r > 5 ? 10 : r > 2 ? 5 : r > 1 ? 2 : 1);
}

static void axis(plot *p, const scale *s, const char *unit, double top, double bottom)
{
    double step = s->log ? 0 : tick_step(s->high);
    char label[40];
    for (double v = s->log ? s->low : 0; v <= s->high * 1.0001; v = s->log ? v * 10 : v + step) {
        double x = place(s, v);
        add(p, PLOT_LINE, x, top, 0, bottom - top, faint);
        snprintf(label, sizeof label, "%.6g", v);
        plot_item *t = text(p, x, bottom + 16, PLOT_MIDDLE, label);
        if (t) t->size = 11;
    }
    snprintf(label, sizeof label, "%s%s, lower is better", unit, s->log ? " (logarithmic)" : "");
    plot_item *t = text(p, BAR_END, bottom + 34, PLOT_RIGHT, label);
    if (t) t->size = 11;
}

static size_t series_of(const plot_bar *bars, size_t at, const char **names, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(names[i], bars[at].series) == 0) return i;
    if (*count == SERIES_MAX) return SERIES_MAX - 1;
    names[*count] = bars[at].series;
    return (*count)++;
}

static void bar(plot *p, const scale *s, const plot_bar *b, double y, uint32_t rgb)
{
    char number[160];
    double end = place(s, b->median), low = place(s, b->p10), high = place(s, b->p90), mid = y + ROW / 2;
    text(p, LABEL_END, mid + 4, PLOT_RIGHT, b->label);
    add(p, PLOT_RECT, BAR_START, y + 4, end - BAR_START > 1 ? end - BAR_START : 1, ROW - 8, rgb);
    if (b->p90 > b->p10) {
        add(p, PLOT_LINE, low, mid, high - low, 0, ink);
        add(p, PLOT_LINE, low, mid - 4, 0, 8, ink);
        add(p, PLOT_LINE, high, mid - 4, 0, 8, ink);
    }
    snprintf(number, sizeof number, "%.4g%s%s", b->median, b->note[0] ? "  " : "", b->note);
    text(p, (high > end ? high : end) + 8, mid + 4, PLOT_LEFT, number);
}

bool plot_bars(const char *title, const char *unit, const plot_bar *bars, size_t count, plot *out)
{
    const char *names[SERIES_MAX];
    size_t name_count = 0, groups = 0;
    scale s = scale_of(bars, count);
    *out = (plot){.width = WIDTH};
    for (size_t i = 0; i < count; i++) groups += i == 0 || strcmp(bars[i].group, bars[i - 1].group) != 0;
    double y = TOP, bottom = TOP + (double)count * ROW + (double)groups * HEADING;
    axis(out, &s, unit, TOP, bottom);
    plot_item *t = text(out, 20, 32, PLOT_LEFT, title);
    if (t) t->size = 18, t->bold = true;
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(bars[i].group, bars[i - 1].group) != 0) {
            y += HEADING;
            if ((t = text(out, 20, y - 8, PLOT_LEFT, bars[i].group))) t->bold = true;
        }
        bar(out, &s, &bars[i], y, palette[series_of(bars, i, names, &name_count) % (sizeof palette / sizeof *palette)]);
        y += ROW;
    }
    double x = 20;
    y = bottom + 54;
    for (size_t i = 0; i < name_count; i++) {
        double wide = 40 + 7.5 * (double)strlen(names[i]);
        if (x > 20 && x + wide > WIDTH - 20) x = 20, y += 20;
        add(out, PLOT_RECT, x, y - 10, 12, 12, palette[i % (sizeof palette / sizeof *palette)]);
        text(out, x + 18, y, PLOT_LEFT, names[i]);
        x += wide;
    }
    out->height = y + 20;
    return !out->failed;
}

void plot_free(plot *p)
{
    free(p->items);
    *p = (plot){0};
}

bool plot_write(const plot *p, const char *path, char *why, size_t why_size)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".png") == 0) return plot_write_png(p, path, why, why_size);
    if (!dot || strcmp(dot, ".svg") != 0) {
        snprintf(why, why_size, "%s: a plot is a .svg or a .png file", path);
        return false;
    }
    FILE *f = fopen(path, "w");
    bool ok = f && plot_write_svg(p, f);
    if (f && fclose(f) != 0) ok = false;
    if (!ok) snprintf(why, why_size, "%s: %s", path, strerror(errno));
    return ok;
}
