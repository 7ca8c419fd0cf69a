# make install: command, library, headers, man page, completions. Included late: the command's target
# is made after this file, so the rules are deferred to the end of the folder.
include(GNUInstallDirs)
function(wa_install_rules)
  if(NOT TARGET webaccel)
    return()
  endif()
  # Libraries beside the command are found first, for bundles; also theirs (hence the old tag).
  foreach(t webaccel webaccel_shared)
    set_target_properties(${t} PROPERTIES BUILD_RPATH "$ORIGIN;$ORIGIN/../lib" INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR};$ORIGIN/../lib")
    target_link_options(${t} PRIVATE -Wl,--disable-new-dtags)
  endforeach()
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/webaccel.1 COMMAND webaccel help --man > ${CMAKE_BINARY_DIR}/webaccel.1
                     COMMAND webaccel completion bash > ${CMAKE_BINARY_DIR}/webaccel.bash
                     COMMAND webaccel completion zsh > ${CMAKE_BINARY_DIR}/_webaccel
                     COMMAND webaccel completion fish > ${CMAKE_BINARY_DIR}/webaccel.fish DEPENDS webaccel)
  add_custom_target(webaccel_docs ALL DEPENDS ${CMAKE_BINARY_DIR}/webaccel.1)
  install(TARGETS webaccel RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(TARGETS webaccel_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/webaccel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(FILES ${CMAKE_BINARY_DIR}/webaccel.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/webaccel.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME webaccel)
  install(FILES ${CMAKE_BINARY_DIR}/_webaccel DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${CMAKE_BINARY_DIR}/webaccel.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
  install(FILES ${WA_DEPS_DIR}/lib/libduckdb.so DESTINATION lib/webaccel OPTIONAL) # where the command looks, whatever LIBDIR is
  # The example and the public headers, as C and as C++ users have them.
  add_executable(example_embed ${CMAKE_SOURCE_DIR}/examples/embed.c)
  target_include_directories(example_embed PRIVATE ${CMAKE_SOURCE_DIR}/include)
  target_link_libraries(example_embed PRIVATE webaccel_shared m)
  set_target_properties(example_embed PROPERTIES BUILD_RPATH "$ORIGIN")
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL wa_install_rules)
