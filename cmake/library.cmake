# SPDX-License-Identifier: MIT
# libl4vio-core.a (freestanding part), libl4vio.a and libl4vio.so (both parts).

# The public face of a library; BUILD_INTERFACE keeps this project's warnings out of its users.
function(l4vio_library target name)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:l4vio_flags>)
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name} LINKER_LANGUAGE C)
endfunction()

add_library(l4vio_core_objects OBJECT ${core_sources})
target_link_libraries(l4vio_core_objects PRIVATE l4vio_flags)
target_include_directories(l4vio_core_objects PRIVATE include src)

add_library(l4vio_core STATIC $<TARGET_OBJECTS:l4vio_core_objects>)
l4vio_library(l4vio_core l4vio-core)
set_target_properties(l4vio_core PROPERTIES EXPORT_NAME core)
add_library(l4vio::core ALIAS l4vio_core)

if(L4VIO_FREESTANDING)
  return()
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET liburing)

# One set of objects serves the archive and the shared library.
set(object_libraries l4vio_core_objects)
set(objects $<TARGET_OBJECTS:l4vio_core_objects>)
if(host_sources)
  add_library(l4vio_host_objects OBJECT ${host_sources})
  target_link_libraries(l4vio_host_objects PRIVATE l4vio_flags PkgConfig::LIBURING)
  target_include_directories(l4vio_host_objects PRIVATE include src)
  target_compile_definitions(l4vio_host_objects PRIVATE _GNU_SOURCE=)
  list(APPEND object_libraries l4vio_host_objects)
  list(APPEND objects $<TARGET_OBJECTS:l4vio_host_objects>)
endif()
foreach(library IN LISTS object_libraries)
  set_target_properties(${library} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${library} PRIVATE -fno-semantic-interposition)
endforeach()

add_library(l4vio_static STATIC ${objects})
l4vio_library(l4vio_static l4vio)
target_link_libraries(l4vio_static PUBLIC PkgConfig::LIBURING Threads::Threads)
set_target_properties(l4vio_static PROPERTIES EXPORT_NAME static)
add_library(l4vio::static ALIAS l4vio_static)

# The map, not a visibility attribute, says what is public: functions shared between folders have
# the l4vio_ prefix too. scripts/symbols writes it from the headers.
set(map ${PROJECT_SOURCE_DIR}/src/l4vio.map)
add_library(l4vio SHARED ${objects})
l4vio_library(l4vio l4vio)
target_link_libraries(l4vio PRIVATE PkgConfig::LIBURING Threads::Threads)
target_link_options(l4vio PRIVATE
  -Wl,--version-script=${map} -Wl,-Bsymbolic-functions -Wl,-z,relro,-z,now)
if(NOT L4VIO_SANITIZE)
  target_link_options(l4vio PRIVATE -Wl,-z,defs)
endif()
set_target_properties(l4vio PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${map})
add_library(l4vio::l4vio ALIAS l4vio)
