/* Standard input as lines, read ahead of nobody: a wa_accelerate_options.next, and how far it got. */
#ifndef CLI_LINES_H
#define CLI_LINES_H
#include "webaccel/webaccel.h"
#include <stdio.h>

typedef struct cli_lines cli_lines;
cli_lines *cli_lines_open(int fd); /* NULL when out of memory; the descriptor is borrowed */
void cli_lines_close(cli_lines *l);
/* The next line without its end. Called on one thread. */
wa_next_status cli_lines_next(cli_lines *l, uint32_t wait_ms, const char **line);
/* Lines there will be, by the size of the file and what was read of it: 0 when unknown (a pipe). Any thread. */
uint64_t cli_lines_expected(cli_lines *l);
/* Set when reading failed: errno. Once the lines ended. */
int cli_lines_error(const cli_lines *l);

/* {"index":I,"output":[...]} and a newline: 9 digits a number, which give the same float back. */
void cli_print_row(FILE *out, size_t index, const float *v, size_t count);

#endif
