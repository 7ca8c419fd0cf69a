/* A text table whose columns are as wide as their widest cell. In: cells, row after row. Out: lines. */
#ifndef TABLE_H
#define TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 20 };
typedef struct table {
    const char *align;  /* a letter a column: 'l' or 'r'; its length is the number of columns; static */
    size_t max_width;   /* a longer left cell is cut in its middle with "..."; 0: never */
    char **cells;
    size_t count, cap;
    bool failed;        /* out of memory */
} table;

void table_begin(table *t, const char *align);
/* The next cell; the first row is the heading. */
void table_cell(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "-" for what is not known (NaN, below 0), else at most four significant digits. */
void table_number(table *t, double v);
/* Incomplete last rows are padded. Frees the table. False when memory ran out (nothing is printed). */
bool table_end(table *t, FILE *out);

#endif
