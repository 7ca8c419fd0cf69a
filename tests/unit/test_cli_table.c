/* The command's table and plot: widths, cuts, numbers; SVG that is XML and holds what it was given; PNG. */
#include "tests.h"
#include "plot.h"
#include "table.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static char *printed(table *t)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_true(table_end(t, f));
    fclose(f);
    return text;
}

static void columns_line_up(void **state)
{
    (void)state;
    table t;
    table_begin(&t, "lrl");
    const char *const cells[] = {"name", "us", "label", "a", "12345", "x", "longer", "1", "last\tone\n"};
    for (int i = 0; i < 9; i++) table_cell(&t, "%s", cells[i]);
    char *text = printed(&t);
    assert_string_equal(text, "name       us  label\na       12345  x\nlonger      1  last one \n");
    free(text);
}

static void cells_are_cut_in_their_middle(void **state)
{
    (void)state;
    table t;
    table_begin(&t, "lr");
    t.max_width = 11;
    table_cell(&t, "encoder.layer.0");
    table_cell(&t, "encoder.layer.0"); /* right cells never */
    char *text = printed(&t);
    assert_string_equal(text, "enco...er.0  encoder.layer.0\n");
    free(text);
}

static void numbers_have_what_matters(void **state)
{
    (void)state;
    table t;
    table_begin(&t, "rrrrrrr");
    const double v[] = {0, 0.12345, 1.2345, 123.45, 12345.6, -1, NAN};
    for (int i = 0; i < 7; i++) table_number(&t, v[i]);
    char *text = printed(&t);
    assert_string_equal(text, "0  0.123  1.23  123.5  12346  -  -\n");
    free(text);
}

static void incomplete_and_empty(void **state)
{
    (void)state;
    table t;
    table_begin(&t, "ll");
    char *text = printed(&t);
    assert_string_equal(text, "");
    free(text);
    table_begin(&t, "ll");
    table_cell(&t, "alone");
    text = printed(&t);
    assert_string_equal(text, "alone\n");
    free(text);
}

static plot sample(double scale)
{
    plot p;
    const plot_bar bars[] = {{"a <model> & \"more\"", "cpu, 32 bits", "cpu", 1, 0.9, 1.2, ""},
                             {"a <model> & \"more\"", "webgpu, 16 bits", "webgpu", 2 * scale, 2 * scale, 2 * scale, "software adapter"},
                             {"another", "cpu, 32 bits", "cpu", 0.5, 0.4, 0.7, ""}};
    assert_true(plot_bars("a title", "ms", bars, 3, &p));
    return p;
}

static double rect_width(const plot *p, int which)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i].kind == PLOT_RECT && p->items[i].x > 100 && which-- == 0) return p->items[i].w;
    fail_msg("no such bar");
    return 0;
}

static void bars_are_as_long_as_their_medians(void **state)
{
    (void)state;
    plot p = sample(1);
    assert_true(fabs(rect_width(&p, 1) / rect_width(&p, 0) - 2) < 1e-9);
    assert_true(fabs(rect_width(&p, 0) / rect_width(&p, 2) - 2) < 1e-9);
    plot_free(&p);
    p = sample(1000); /* logarithmic: 2000 is not 2000 times as long, yet the longest */
    assert_true(rect_width(&p, 1) > rect_width(&p, 0) && rect_width(&p, 0) > rect_width(&p, 2));
    assert_true(rect_width(&p, 1) < 20 * rect_width(&p, 0));
    for (size_t i = 0; i < p.count; i++) assert_true(p.items[i].y >= 0 && p.items[i].y <= p.height && p.items[i].x <= p.width);
    plot_free(&p);
}

static void svg_is_escaped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    plot p = sample(1);
    FILE *f = open_memstream(&text, &n);
    assert_true(plot_write_svg(&p, f));
    fclose(f);
    assert_non_null(strstr(text, "a &lt;model&gt; &amp; &quot;more&quot;"));
    assert_null(strstr(text, "<model>"));
    assert_non_null(strstr(text, "software adapter"));
    assert_non_null(strstr(text, "</svg>"));
    free(text);
    plot_free(&p);
}

static void files_by_their_ending(void **state)
{
    (void)state;
    char why[400], path[64], magic[8] = {0};
    plot p = sample(1);
    assert_false(plot_write(&p, "/tmp/x.gif", why, sizeof why));
    assert_non_null(strstr(why, ".svg"));
    assert_false(plot_write(&p, "/no/such/folder/x.svg", why, sizeof why));
    assert_non_null(strstr(why, "/no/such/folder/x.svg"));
    snprintf(path, sizeof path, "/tmp/test_plot_%d.png", (int)getpid());
    bool made = plot_write(&p, path, why, sizeof why);
    if (!made) assert_non_null(strstr(why, "libcairo")); /* a machine without it is told so */
    else {
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        assert_int_equal(fread(magic, 1, 8, f), 8);
        fclose(f);
        assert_memory_equal(magic, "\x89PNG\r\n\x1a\n", 8);
        unlink(path);
    }
    plot_free(&p);
}

static void nothing_to_draw(void **state)
{
    (void)state;
    plot p;
    assert_true(plot_bars("t", "ms", NULL, 0, &p));
    plot_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up), cmocka_unit_test(cells_are_cut_in_their_middle), cmocka_unit_test(numbers_have_what_matters),
        cmocka_unit_test(incomplete_and_empty), cmocka_unit_test(bars_are_as_long_as_their_medians), cmocka_unit_test(svg_is_escaped),
        cmocka_unit_test(files_by_their_ending), cmocka_unit_test(nothing_to_draw)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
