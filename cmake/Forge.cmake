# hearth-forge and all of src/training need libtorch (Debian: libtorch-dev libopenblas0-pthread). HEARTH_FORGE is AUTO (built
# where Torch is found), ON (an error where it is not) or OFF; HEARTH_BUILD_FORGE says what became of it.

set(HEARTH_FORGE AUTO CACHE STRING "Build hearth-forge: AUTO, ON or OFF")
set(HEARTH_BUILD_FORGE OFF)
if(NOT HEARTH_FORGE STREQUAL "OFF" AND NOT HEARTH_KERNELS_ONLY AND NOT HEARTH_SANITIZE)
  if(HEARTH_FORGE STREQUAL "AUTO")
    find_package(Torch QUIET)
  else()
    find_package(Torch REQUIRED)
  endif()
  if(Torch_FOUND)
    set(HEARTH_BUILD_FORGE ON)
    # One target for whoever includes torch headers, which are not written for our warnings.
    add_library(hearth_torch INTERFACE)
    target_include_directories(hearth_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
    target_link_libraries(hearth_torch INTERFACE ${TORCH_LIBRARIES})
    separate_arguments(HEARTH_TORCH_FLAGS NATIVE_COMMAND "${TORCH_CXX_FLAGS}")
    target_compile_options(hearth_torch INTERFACE ${HEARTH_TORCH_FLAGS})
  else()
    message(STATUS "hearth-forge is not built: Torch was not found (Debian: libtorch-dev)")
  endif()
endif()
