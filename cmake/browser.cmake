# browser_find.c knows where make deps puts the Chromium that has WebNN.
set_source_files_properties(src/browser/browser_find.c PROPERTIES COMPILE_DEFINITIONS "WA_DEPS_DIR=\"${WA_DEPS_DIR}\"")
