/* A chart of bars as a list of rectangles, lines and texts, written as SVG by us or as PNG by cairo, which is
 * loaded when a PNG is asked for. In: medians with p10 and p90. Out: a file. Called by cmd_bench.c. */
#ifndef PLOT_H
#define PLOT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct plot_bar {
    char group[96];  /* bars of one group stand together under this heading */
    char label[96];
    char series[96]; /* bars of one series share a colour; named in the legend */
    double median, p10, p90;
    char note[64];   /* behind the number; may be empty */
} plot_bar;

typedef enum plot_kind { PLOT_RECT = 1, PLOT_LINE, PLOT_TEXT } plot_kind;
typedef enum plot_align { PLOT_LEFT = 0, PLOT_MIDDLE, PLOT_RIGHT } plot_align;
typedef struct plot_item { /* LINE: from x,y to x+w,y+h. TEXT: baseline at x,y */
    plot_kind kind;
    plot_align align;
    double x, y, w, h, size;
    uint32_t rgb;
    bool bold;
    char text[200];
} plot_item;

typedef struct plot {
    double width, height;
    plot_item *items;
    size_t count, cap;
    bool failed; /* out of memory */
} plot;

/* Bars in order, lower is better; plot_free it, also after failure (false: out of memory). */
bool plot_bars(const char *title, const char *unit, const plot_bar *bars, size_t count, plot *out);
void plot_free(plot *p);
bool plot_write_svg(const plot *p, FILE *out);
/* False with a reason in why. */
bool plot_write_png(const plot *p, const char *path, char *why, size_t why_size);
/* By the file's ending, .svg or .png. */
bool plot_write(const plot *p, const char *path, char *why, size_t why_size);

#endif
