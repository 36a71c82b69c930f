# SPDX-License-Identifier: MIT
# The tool, the examples and the benchmarks. Each file of examples/ and bench/ is one program.

if(NOT TARGET l4vio_static)
  return()
endif()

# A program of our own: linked with the archive, so that it runs from the build folder.
function(l4vio_program target folder)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE l4vio_flags l4vio_static)
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
endfunction()

l4vio_glob(tool_sources src/tool)
if(tool_sources)
  pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
  l4vio_program(l4vio_tool . ${tool_sources})
  target_include_directories(l4vio_tool PRIVATE src)
  target_compile_definitions(l4vio_tool PRIVATE _GNU_SOURCE= L4VIO_VERSION="${PROJECT_VERSION}")
  target_link_libraries(l4vio_tool PRIVATE PkgConfig::JANSSON)
  set_target_properties(l4vio_tool PROPERTIES OUTPUT_NAME l4vio)
endif()

# What a user wants built, without tests, examples and benchmarks.
add_custom_target(product DEPENDS l4vio_core l4vio_static l4vio)
if(TARGET l4vio_tool)
  add_dependencies(product l4vio_tool)
endif()

# Examples see what a user sees: the public headers, and no macro that the source does not set.
l4vio_glob(example_sources examples)
foreach(source IN LISTS example_sources)
  cmake_path(GET source STEM name)
  l4vio_program(example_${name} examples ${source})
  set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name})
endforeach()

# What the benchmarks share lies in bench/support.
l4vio_glob(bench_sources bench)
l4vio_glob(bench_support_sources bench/support)
if(bench_support_sources)
  add_library(l4vio_bench_support STATIC ${bench_support_sources})
  target_include_directories(l4vio_bench_support PRIVATE src)
  target_compile_definitions(l4vio_bench_support PRIVATE _GNU_SOURCE=)
  target_link_libraries(l4vio_bench_support PRIVATE l4vio_flags PUBLIC l4vio_static m)
endif()
foreach(source IN LISTS bench_sources)
  cmake_path(GET source STEM name)
  l4vio_program(bench_${name} bench ${source})
  target_include_directories(bench_${name} PRIVATE src)
  target_compile_definitions(bench_${name} PRIVATE _GNU_SOURCE=)
  if(TARGET l4vio_bench_support)
    target_link_libraries(bench_${name} PRIVATE l4vio_bench_support)
  endif()
  set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name})
endforeach()
