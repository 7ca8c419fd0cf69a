/* The few functions of DuckDB's C API (1.4 and later, none of them deprecated) that results calls, found
 * at run time. Types and signatures are the API's; tests compare them with its header (tests/unit/
 * test_results_abi.c, which defines WA_DUCKDB_HEADER and includes the real one first). */
#ifndef WA_RESULTS_DUCKDB_H
#define WA_RESULTS_DUCKDB_H
#include "base/error.h"

#ifndef WA_DUCKDB_HEADER
typedef uint64_t idx_t;
typedef enum duckdb_state { DuckDBSuccess = 0, DuckDBError = 1 } duckdb_state;
typedef struct wa_duckdb_database_ *duckdb_database;
typedef struct wa_duckdb_connection_ *duckdb_connection;
typedef struct wa_duckdb_config_ *duckdb_config;
typedef struct wa_duckdb_data_chunk_ *duckdb_data_chunk;
typedef struct wa_duckdb_vector_ *duckdb_vector;
typedef struct wa_duckdb_appender_ *duckdb_appender;
typedef struct wa_duckdb_error_data_ *duckdb_error_data;
typedef struct duckdb_result { /* passed by value */
    idx_t reserved[3];
    void *columns;
    char *message;
    void *internal_data;
} duckdb_result;
typedef struct duckdb_string_t { /* up to 12 bytes lie inline */
    union {
        struct {
            uint32_t length;
            char prefix[4];
            char *ptr;
        } pointer;
        struct {
            uint32_t length;
            char inlined[12];
        } inlined;
    } value;
} duckdb_string_t;
#endif

/* X(result, name, arguments) for duckdb_<name>. */
#define WA_DUCKDB_FUNCTIONS(X)                                                                     \
    X(const char *, library_version, (void))                                                       \
    X(duckdb_state, create_config, (duckdb_config *))                                              \
    X(duckdb_state, set_config, (duckdb_config, const char *, const char *))                       \
    X(void, destroy_config, (duckdb_config *))                                                     \
    X(duckdb_state, open_ext, (const char *, duckdb_database *, duckdb_config, char **))           \
    X(void, close, (duckdb_database *))                                                            \
    X(duckdb_state, connect, (duckdb_database, duckdb_connection *))                               \
    X(void, disconnect, (duckdb_connection *))                                                     \
    X(void, free, (void *))                                                                        \
    X(duckdb_state, query, (duckdb_connection, const char *, duckdb_result *))                     \
    X(void, destroy_result, (duckdb_result *))                                                     \
    X(const char *, result_error, (duckdb_result *))                                               \
    X(idx_t, column_count, (duckdb_result *))                                                      \
    X(duckdb_data_chunk, fetch_chunk, (duckdb_result))                                             \
    X(void, destroy_data_chunk, (duckdb_data_chunk *))                                             \
    X(idx_t, data_chunk_get_size, (duckdb_data_chunk))                                             \
    X(duckdb_vector, data_chunk_get_vector, (duckdb_data_chunk, idx_t))                            \
    X(void *, vector_get_data, (duckdb_vector))                                                    \
    X(uint64_t *, vector_get_validity, (duckdb_vector))                                            \
    X(bool, validity_row_is_valid, (uint64_t *, idx_t))                                            \
    X(duckdb_state, appender_create_ext, (duckdb_connection, const char *, const char *, const char *, duckdb_appender *)) \
    X(duckdb_state, append_varchar, (duckdb_appender, const char *))                               \
    X(duckdb_state, append_int64, (duckdb_appender, int64_t))                                      \
    X(duckdb_state, append_null, (duckdb_appender))                                                \
    X(duckdb_state, appender_end_row, (duckdb_appender))                                           \
    X(duckdb_state, appender_flush, (duckdb_appender))                                             \
    X(duckdb_error_data, appender_error_data, (duckdb_appender))                                   \
    X(duckdb_state, appender_destroy, (duckdb_appender *))                                         \
    X(const char *, error_data_message, (duckdb_error_data))                                       \
    X(void, destroy_error_data, (duckdb_error_data *))

typedef struct wa_duckdb {
#define WA_DUCKDB_MEMBER(result, name, arguments) result(*name) arguments;
    WA_DUCKDB_FUNCTIONS(WA_DUCKDB_MEMBER)
#undef WA_DUCKDB_MEMBER
} wa_duckdb;

/* Opens libduckdb.so: `library` if given, else $WEBACCEL_DUCKDB, beside the executable (., lib, ../lib),
 * the build's fetched packages, the system's. It stays open until the process ends (it has threads).
 * WA_NOT_FOUND says where it was looked for. */
wa_status wa__duckdb_load(const char *library, wa_duckdb *out, wa_error *err) WA_MUST_CHECK;

#endif
