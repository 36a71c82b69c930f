# SPDX-License-Identifier: MIT
# Headers, libraries, pkg-config files, the CMake package, man pages, the tool.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/l4vio DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} OPTIONAL
  FILES_MATCHING PATTERN "*.h")
foreach(section 1 3 7)
  file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
if(TARGET l4vio_tool)
  install(TARGETS l4vio_tool)
endif()
if(NOT TARGET l4vio_core)
  return()
endif()

set(libraries l4vio_core)
set(pc_files l4vio-core)
if(NOT L4VIO_FREESTANDING)
  list(APPEND libraries l4vio_static l4vio)
  list(APPEND pc_files l4vio)
endif()
install(TARGETS ${libraries} EXPORT l4vio)

# The prefix is found from where the file lies, so an installed tree may be moved.
file(RELATIVE_PATH pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
foreach(pc IN LISTS pc_files)
  configure_file(cmake/${pc}.pc.in ${pc}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/l4vio)
configure_package_config_file(cmake/l4vio-config.cmake.in l4vio-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(l4vio-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/l4vio-config.cmake
              ${PROJECT_BINARY_DIR}/l4vio-config-version.cmake DESTINATION ${package_dir})
install(EXPORT l4vio NAMESPACE l4vio:: FILE l4vio-targets.cmake DESTINATION ${package_dir})
