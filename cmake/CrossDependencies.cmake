# What a cross build needs that Debian has no package for in the target's architecture: header-only tl::expected is taken from this
# machine, through a folder of its own because /usr/include holds this machine's C library too; GoogleTest is built from the
# sources in libgtest-dev and libgmock-dev.
find_path(HEARTH_TL_EXPECTED tl/expected.hpp PATHS /usr/include NO_DEFAULT_PATH NO_CMAKE_FIND_ROOT_PATH REQUIRED)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cross-include)
file(CREATE_LINK ${HEARTH_TL_EXPECTED}/tl ${CMAKE_BINARY_DIR}/cross-include/tl SYMBOLIC)
target_include_directories(hearth_options SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/cross-include)

if(HEARTH_TESTS)
  set(HEARTH_GOOGLETEST_SOURCES /usr/src/googletest CACHE PATH "GoogleTest's sources, for cross builds")
  set(INSTALL_GTEST OFF)
  add_subdirectory(${HEARTH_GOOGLETEST_SOURCES} ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
endif()
