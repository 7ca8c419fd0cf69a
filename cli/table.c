#include "table.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void table_begin(table *t, const char *align) { *t = (table){.align = align}; }

static void push(table *t, char *text)
{
    if (text && t->count == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 256;
        char **grown = realloc(t->cells, cap * sizeof *grown);
        if (grown) {
            t->cells = grown;
            t->cap = cap;
        }
    }
    if (!text || t->count == t->cap) {
        free(text);
        t->failed = true;
        return;
    }
    t->cells[t->count++] = text;
}

void table_cell(table *t, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\t' || *p == '\r') *p = ' '; /* a label of a model may hold anything */
    size_t n = strlen(text);
    if (t->max_width > 8 && n > t->max_width && t->align[t->count % strlen(t->align)] == 'l') {
        size_t tail = (t->max_width - 3) / 2, head = t->max_width - 3 - tail;
        memcpy(text + head, "...", 3);
        memmove(text + head + 3, text + n - tail, tail + 1);
    }
    push(t, strdup(text));
}

void table_number(table *t, double v)
{
    if (!isfinite(v) || v < 0) table_cell(t, "-");
    else if (v == 0) table_cell(t, "0");
    else if (v >= 1000) table_cell(t, "%.0f", v);
    else table_cell(t, "%.*f", v >= 100 ? 1 : v >= 1 ? 2 : 3, v);
}

bool table_end(table *t, FILE *out)
{
    size_t columns = strlen(t->align), width[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->count && columns <= TABLE_COLUMNS_MAX; i++) {
        size_t n = strlen(t->cells[i]);
        if (n > width[i % columns]) width[i % columns] = n;
    }
    bool ok = !t->failed && columns && columns <= TABLE_COLUMNS_MAX;
    for (size_t i = 0; ok && i < t->count; i++) {
        size_t c = i % columns;
        bool last = c + 1 == columns || i + 1 == t->count;
        if (t->align[c] == 'r') fprintf(out, "%*s", (int)width[c], t->cells[i]);
        else if (last) fputs(t->cells[i], out);
        else fprintf(out, "%-*s", (int)width[c], t->cells[i]);
        fputs(last ? "\n" : "  ", out);
    }
    for (size_t i = 0; i < t->count; i++) free(t->cells[i]);
    free(t->cells);
    *t = (table){0};
    return ok;
}
