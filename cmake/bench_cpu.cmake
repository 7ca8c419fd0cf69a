# Benchmarks of kernels, built by name only: ninja bench_cpu_kernels bench_cpu_model bench_gpu_kernels
if(NOT WA_FUZZ)
  foreach(name bench_cpu_kernels bench_cpu_model bench_gpu_kernels)
    add_executable(${name} EXCLUDE_FROM_ALL bench/${name}.c)
    target_link_libraries(${name} PRIVATE wa_static)
  endforeach()
endif()
