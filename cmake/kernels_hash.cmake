# SHA-256 over everything that decides what a plan does: a changed kernel or pass makes other plans.
set(WA_HASH_HEADER ${CMAKE_BINARY_DIR}/gen/kernels_hash_gen.h)
file(GLOB WA_HASHED CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/kernels/*.[ch] ${CMAKE_SOURCE_DIR}/src/plan/*.[ch]
     ${CMAKE_SOURCE_DIR}/src/opt/*.[ch] ${CMAKE_SOURCE_DIR}/src/graph/*.[ch] ${CMAKE_SOURCE_DIR}/page/*.js)
add_custom_command(OUTPUT ${WA_HASH_HEADER}
  COMMAND ${CMAKE_COMMAND} -DOUT=${WA_HASH_HEADER} "-DFILES=${WA_HASHED}" -P ${CMAKE_SOURCE_DIR}/tools/kernels_hash.cmake
  DEPENDS ${WA_HASHED} ${CMAKE_SOURCE_DIR}/tools/kernels_hash.cmake VERBATIM)
set_source_files_properties(${CMAKE_SOURCE_DIR}/src/kernels/kernels_hash.c PROPERTIES OBJECT_DEPENDS ${WA_HASH_HEADER})
