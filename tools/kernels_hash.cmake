# cmake -DOUT=header -DFILES="a;b" -P kernels_hash.cmake: writes the hash of the files' hashes.
set(all "")
foreach(f ${FILES})
  file(SHA256 ${f} h)
  get_filename_component(n ${f} NAME)
  string(APPEND all "${n} ${h}\n")
endforeach()
string(SHA256 h "${all}")
file(WRITE ${OUT} "#define WA_KERNELS_HASH \"${h}\"\n")
