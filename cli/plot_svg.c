/* A plot as SVG 1.1: no scripts, no fonts beyond what is there. */
#include "plot.h"

static void escaped(const char *s, FILE *out)
{
    for (; *s; s++) {
        if (*s == '<') fputs("&lt;", out);
        else if (*s == '>') fputs("&gt;", out);
        else if (*s == '&') fputs("&amp;", out);
        else if (*s == '"') fputs("&quot;", out);
        else if ((unsigned char)*s >= 0x20) fputc(*s, out); /* controls are not allowed in XML */
    }
}

bool plot_write_svg(const plot *p, FILE *out)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n"
                 "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n", p->width, p->height, p->width, p->height);
    for (size_t i = 0; i < p->count; i++) {
        const plot_item *t = &p->items[i];
        if (t->kind == PLOT_RECT) fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#%06x\"/>\n", t->x, t->y, t->w, t->h, (unsigned)t->rgb);
        if (t->kind == PLOT_LINE) fprintf(out, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\" stroke=\"#%06x\"/>\n", t->x, t->y, t->x + t->w, t->y + t->h, (unsigned)t->rgb);
        if (t->kind != PLOT_TEXT) continue;
        fprintf(out, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.0f\" text-anchor=\"%s\"%s fill=\"#%06x\">", t->x, t->y, t->size, anchors[t->align],
                t->bold ? " font-weight=\"bold\"" : "", (unsigned)t->rgb);
        escaped(t->text, out);
        fputs("</text>\n", out);
    }
    fputs("</svg>\n", out);
    return !ferror(out);
}
