# The ONNX conformance runner: build/onnx-conformance (tests/conformance).
if(NOT WA_FUZZ)
  add_executable(onnx-conformance tests/conformance/onnx_conformance.c)
  target_link_libraries(onnx-conformance PRIVATE wa_static)
endif()
