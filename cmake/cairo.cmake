# PNG plots: cairo's header at build time, the library only when a PNG is asked for. Optional.
pkg_check_modules(WA_CAIRO QUIET cairo)
function(wa_cairo target)
  if(WA_CAIRO_FOUND)
    target_include_directories(${target} PRIVATE ${WA_CAIRO_INCLUDE_DIRS})
    target_compile_definitions(${target} PRIVATE WA_HAVE_CAIRO)
  endif()
endfunction()
