/* results_duckdb.h declares a part of DuckDB's C API by itself; here the compiler compares it with the
 * real header (make deps fetches it). */
#include "base/error.h"
#if __has_include("duckdb.h")
#include "duckdb.h"
#define WA_DUCKDB_HEADER
#endif
#include "results/results_duckdb.h"
#include "tests.h"

#ifdef WA_DUCKDB_HEADER
_Static_assert(sizeof(duckdb_result) == 48 && sizeof(duckdb_string_t) == 16, "results_duckdb.c assumes these sizes");
#define SAME(result, name, arguments)                                                              \
    _Static_assert(__builtin_types_compatible_p(__typeof__(&duckdb_##name), __typeof__(((wa_duckdb *)0)->name)), "duckdb_" #name);
WA_DUCKDB_FUNCTIONS(SAME)
#endif

static void test_abi(void **state)
{
    (void)state;
#ifndef WA_DUCKDB_HEADER
    print_message("SKIPPED test_abi: no " WA_DEPS_DIR "/include/duckdb.h when configured; run make deps and configure again\n");
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_abi)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
