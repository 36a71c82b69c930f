# SPDX-License-Identifier: MIT
# How everything here is compiled: library, tool, tests, examples, bench alike.
include(CheckCCompilerFlag)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# Asserts are for our own bugs and stay in: no -DNDEBUG.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_library(l4vio_flags INTERFACE)
target_compile_options(l4vio_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  -Wstrict-prototypes -Wmissing-prototypes
  -fno-common -fno-strict-overflow)
if(L4VIO_WERROR)
  target_compile_options(l4vio_flags INTERFACE -Werror)
endif()

if(L4VIO_SANITIZE)
  target_compile_options(l4vio_flags INTERFACE
    -fsanitize=${L4VIO_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
  target_link_options(l4vio_flags INTERFACE -fsanitize=${L4VIO_SANITIZE})
  # gcc warns that the thread sanitizer does not see fences. The rings order by load-acquire and
  # store-release, which it does see; the fence is for store before load, which is not its business.
  if(L4VIO_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(l4vio_flags INTERFACE -Wno-tsan)
  endif()
endif()

if(L4VIO_FREESTANDING)
  # Only the compiler's own headers (stdint.h, stddef.h, ...): a libc header is an error.
  if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-resource-dir
      OUTPUT_VARIABLE compiler_include OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    string(APPEND compiler_include "/include")
  else()
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include
      OUTPUT_VARIABLE compiler_include OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  endif()
  target_compile_options(l4vio_flags INTERFACE
    -ffreestanding -nostdinc -isystem ${compiler_include}
    -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables -ffunction-sections)
  target_link_options(l4vio_flags INTERFACE -nostdlib)
  # On aarch64, otherwise gcc calls libgcc for every atomic.
  set(CMAKE_REQUIRED_FLAGS -Werror)
  check_c_compiler_flag(-mno-outline-atomics L4VIO_HAS_OUTLINE_ATOMICS)
  if(L4VIO_HAS_OUTLINE_ATOMICS)
    target_compile_options(l4vio_flags INTERFACE -mno-outline-atomics)
  endif()
endif()
