# SPDX-License-Identifier: MIT
# Every file of tests/<folder> is one test, named <folder>.<file>, with the folder as its label.
# Exit code 77 means skipped.

set(test_environment
  L4VIO=$<IF:$<TARGET_EXISTS:l4vio_tool>,${PROJECT_BINARY_DIR}/l4vio,>
  L4VIO_BUILD=${PROJECT_BINARY_DIR}
  L4VIO_SOURCE=${PROJECT_SOURCE_DIR}
  L4VIO_SANITIZE=${L4VIO_SANITIZE}
  UBSAN_OPTIONS=print_stacktrace=1
  TSAN_OPTIONS=halt_on_error=1)

function(l4vio_add_test name label command timeout)
  add_test(NAME ${name} COMMAND ${command} ${ARGN})
  set_tests_properties(${name} PROPERTIES
    LABELS ${label} TIMEOUT ${timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "${test_environment}")
endfunction()

if(TARGET l4vio_static)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

  add_library(l4vio_test_support INTERFACE)
  l4vio_glob(support_sources tests/support)
  if(support_sources)
    add_library(l4vio_test_support_objects STATIC ${support_sources})
    target_include_directories(l4vio_test_support_objects PUBLIC tests/support PRIVATE src)
    target_compile_definitions(l4vio_test_support_objects PRIVATE _GNU_SOURCE=)
    target_link_libraries(l4vio_test_support_objects
      PRIVATE l4vio_flags PUBLIC l4vio_static PkgConfig::CMOCKA)
    target_link_libraries(l4vio_test_support INTERFACE l4vio_test_support_objects)
  endif()
  target_include_directories(l4vio_test_support INTERFACE ${PROJECT_SOURCE_DIR}/tests/support)
  target_link_libraries(l4vio_test_support INTERFACE l4vio_static PkgConfig::CMOCKA)

  foreach(folder unit regression hostile stress)
    l4vio_glob(sources tests/${folder})
    foreach(source IN LISTS sources)
      cmake_path(GET source STEM name)
      l4vio_program(${folder}_${name} tests/${folder} ${source})
      target_include_directories(${folder}_${name} PRIVATE src)
      target_compile_definitions(${folder}_${name} PRIVATE _GNU_SOURCE=)
      target_link_libraries(${folder}_${name} PRIVATE l4vio_test_support)
      set_target_properties(${folder}_${name} PROPERTIES OUTPUT_NAME ${name})
      l4vio_add_test(${folder}.${name} ${folder} ${folder}_${name} 120)
    endforeach()
  endforeach()

  # What the scripts of tests/tool run besides the tool.
  l4vio_glob(sources tests/tool/helpers)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    l4vio_program(tool_helper_${name} tests/tool ${source})
    target_compile_definitions(tool_helper_${name} PRIVATE _GNU_SOURCE=)
    set_target_properties(tool_helper_${name} PROPERTIES OUTPUT_NAME ${name})
  endforeach()

  # What the scripts of tests/interop run on this side of a socket.
  l4vio_glob(sources tests/interop/helpers)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    l4vio_program(interop_helper_${name} tests/interop ${source})
    target_compile_definitions(interop_helper_${name} PRIVATE _GNU_SOURCE=)
    target_link_libraries(interop_helper_${name} PRIVATE l4vio_test_support)
    set_target_properties(interop_helper_${name} PROPERTIES OUTPUT_NAME ${name})
  endforeach()

  # What they run inside a guest: alone in its memory, so it is static and never sanitized.
  include(CheckCSourceCompiles)
  set(CMAKE_REQUIRED_LINK_OPTIONS -static)
  check_c_source_compiles("int main(void) { return 0; }" L4VIO_HAS_STATIC_LIBC)
  unset(CMAKE_REQUIRED_LINK_OPTIONS)
  l4vio_glob(sources tests/interop/guests/programs)
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    if(L4VIO_HAS_STATIC_LIBC)
      add_executable(guest_${name} ${source})
      target_compile_options(guest_${name} PRIVATE
        -Wall -Wextra -Wpedantic -Wconversion -Wshadow $<$<BOOL:${L4VIO_WERROR}>:-Werror>)
      target_compile_definitions(guest_${name} PRIVATE _GNU_SOURCE=)
      target_link_options(guest_${name} PRIVATE -static)
      set_target_properties(guest_${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/interop/guest)
    endif()
  endforeach()

  # Each file of fuzz/ is one libFuzzer program; as a test it replays its corpus and runs briefly.
  if(L4VIO_FUZZ)
    l4vio_glob(sources fuzz)
    foreach(source IN LISTS sources)
      cmake_path(GET source STEM name)
      l4vio_program(fuzz_${name} fuzz ${source})
      target_include_directories(fuzz_${name} PRIVATE src)
      target_compile_definitions(fuzz_${name} PRIVATE _GNU_SOURCE=)
      target_link_libraries(fuzz_${name} PRIVATE l4vio_test_support)
      target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
      set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name})
      l4vio_add_test(fuzz.${name} fuzz ${PROJECT_SOURCE_DIR}/scripts/fuzz 120 ${name} 10)
    endforeach()
  endif()
endif()

foreach(folder tool build)
  file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.sh)
  foreach(script IN LISTS scripts)
    cmake_path(GET script STEM name)
    l4vio_add_test(${folder}.${name} ${folder} ${script} 300)
  endforeach()
endforeach()
# With peers that are not ours: a script is skipped where its peer is not installed.
foreach(folder driver guests info)
  file(GLOB scripts CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/interop/${folder}/*.sh)
  foreach(script IN LISTS scripts)
    cmake_path(GET script STEM name)
    l4vio_add_test(interop.${folder}.${name} interop ${script} 300)
  endforeach()
endforeach()
# 100 seconds of computing: more on a machine that has other things to do.
set_tests_properties(build.models PROPERTIES TIMEOUT 900)

file(GLOB script CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/run.sh)
if(script)
  l4vio_add_test(examples.run examples ${script} 120)
endif()
