# Every third kernel case in a real browser (all of them: tests/e2e/wgsl_check.py build/test_wgsl).
if(CMOCKA_FOUND AND NOT WA_FUZZ AND NOT WA_ASAN)
  add_test(NAME wgsl_in_browser COMMAND ${CMAKE_SOURCE_DIR}/tests/e2e/wgsl_check.py $<TARGET_FILE:test_wgsl>)
  set_tests_properties(wgsl_in_browser PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "WA_WGSL_EVERY=3;WA_WGSL_SECONDS=270")
endif()
