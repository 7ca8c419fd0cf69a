# docs/OPERATORS.md is generated from the tables; ctest says when it has drifted (tools/gen_operators.py).
if(NOT WA_FUZZ)
  enable_testing()
  add_executable(operator_tables ${CMAKE_SOURCE_DIR}/tools/operator_tables.c)
  target_link_libraries(operator_tables PRIVATE wa_static)
  target_include_directories(operator_tables PRIVATE ${CMAKE_SOURCE_DIR}/src)
  add_test(NAME operators_doc COMMAND ${CMAKE_SOURCE_DIR}/tools/gen_operators.py --tables $<TARGET_FILE:operator_tables> --check)
  set_tests_properties(operators_doc PROPERTIES LABELS e2e)
endif()
