# SPDX-License-Identifier: MIT
# libl4vio-core.a (freestanding part), libl4vio.a and libl4vio.so (both parts).
# target_*($<BUILD_INTERFACE>) keeps the flags of this project out of the installed targets.

add_library(l4vio_core_objects OBJECT ${core_sources})
target_link_libraries(l4vio_core_objects PRIVATE l4vio_flags)
target_include_directories(l4vio_core_objects PRIVATE include src)

function(l4vio_library target name)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:l4vio_flags>)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} LINKER_LANGUAGE C)
endfunction()

add_library(l4vio_core STATIC $<TARGET_OBJECTS:l4vio_core_objects>)
l4vio_library(l4vio_core l4vio-core)
set_target_properties(l4vio_core PROPERTIES EXPORT_NAME core)

if(L4VIO_FREESTANDING)
  return()
endif()

# One set of objects serves the archive and the shared library.
set_target_properties(l4vio_core_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_compile_options(l4vio_core_objects PRIVATE -fno-semantic-interposition)
set(objects $<TARGET_OBJECTS:l4vio_core_objects>)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing)

if(host_sources)
  add_library(l4vio_host_objects OBJECT ${host_sources})
  target_link_libraries(l4vio_host_objects PRIVATE l4vio_flags)
  target_include_directories(l4vio_host_objects PRIVATE include src)
  target_include_directories(l4vio_host_objects SYSTEM PRIVATE ${LIBURING_INCLUDE_DIRS})
  target_compile_definitions(l4vio_host_objects PRIVATE _GNU_SOURCE=)
  target_compile_options(l4vio_host_objects PRIVATE -fno-semantic-interposition)
  set_target_properties(l4vio_host_objects PROPERTIES POSITION_INDEPENDENT_CODE ON)
  list(APPEND objects $<TARGET_OBJECTS:l4vio_host_objects>)
endif()

add_library(l4vio_static STATIC ${objects})
add_library(l4vio SHARED ${objects})
l4vio_library(l4vio_static l4vio)
l4vio_library(l4vio l4vio)
set_target_properties(l4vio_static PROPERTIES EXPORT_NAME l4vio_static)
target_link_libraries(l4vio_static PUBLIC ${LIBURING_LINK_LIBRARIES} Threads::Threads)
target_link_libraries(l4vio PRIVATE ${LIBURING_LINK_LIBRARIES} Threads::Threads)
set_target_properties(l4vio PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/src/l4vio.map)
target_link_options(l4vio PRIVATE
  -Wl,--version-script=${PROJECT_SOURCE_DIR}/src/l4vio.map -Wl,-Bsymbolic-functions -Wl,-z,relro,-z,now)
if(NOT L4VIO_SANITIZE)
  target_link_options(l4vio PRIVATE -Wl,-z,defs)
endif()
