# libduckdb.so is opened at run time: results_duckdb.c knows where make deps puts it. The ABI test sees the
# fetched header where there is one.
set_source_files_properties(src/results/results_duckdb.c PROPERTIES COMPILE_DEFINITIONS "WA_DEPS_DIR=\"${WA_DEPS_DIR}\"")
if(EXISTS ${WA_DEPS_DIR}/include/duckdb.h)
  set_source_files_properties(tests/unit/test_results_abi.c PROPERTIES INCLUDE_DIRECTORIES ${WA_DEPS_DIR}/include)
endif()
