/* What every unit test includes. WA_TEST_DIR is the tests folder, WA_DEPS_DIR what make deps fetched. */
#ifndef WA_TESTS_H
#define WA_TESTS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* Fails with the message of an error. */
#define assert_ok(s, err)                                                                          \
    do {                                                                                           \
        int assert_ok_s = (s);                                                                     \
        if (assert_ok_s != 0) fail_msg("%s: status %d: %s", #s, assert_ok_s, (err).message);       \
    } while (0)

#endif
