# Kernel benchmark, built by name only: ninja bench_cpu_kernels
if(NOT WA_FUZZ)
  add_executable(bench_cpu_kernels EXCLUDE_FROM_ALL bench/bench_cpu_kernels.c)
  target_link_libraries(bench_cpu_kernels PRIVATE wa_static)
endif()
