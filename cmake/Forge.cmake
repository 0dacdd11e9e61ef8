# hearth-forge and all of src/training need libtorch and a few more libraries. HEARTH_FORGE is AUTO (built where all are
# found), ON (an error where one is not) or OFF; HEARTH_BUILD_FORGE says what became of it.
#
# Torch is Debian's (libtorch-dev libopenblas0-pthread), or the one inside PyTorch's wheel:
#   -DCMAKE_PREFIX_PATH=.../site-packages/torch/share/cmake    where the CUDA toolkit is installed too
#   -DHEARTH_TORCH_ROOT=.../site-packages/torch                without the toolkit: the wheel and those it came with suffice
# The program links Torch's libraries by name; where they are not on the loader's path it starts with LD_LIBRARY_PATH.

set(HEARTH_FORGE AUTO CACHE STRING "Build hearth-forge: AUTO, ON or OFF")
set(HEARTH_TORCH_ROOT "" CACHE PATH "The folder torch of a PyTorch wheel, for machines without the CUDA toolkit")
set(HEARTH_BUILD_FORGE OFF)

# PyTorch's own CMake files ask for the CUDA toolkit, of which a program without device code of its own needs only headers.
function(hearth_torch_from_wheel root)
  foreach(needed include/torch/csrc/api/include/torch/version.h lib/libtorch_cpu.so)
    if(NOT EXISTS ${root}/${needed})
      message(FATAL_ERROR "HEARTH_TORCH_ROOT=${root} holds no ${needed}: it is not the folder torch of a PyTorch wheel")
    endif()
  endforeach()
  target_include_directories(hearth_torch SYSTEM INTERFACE ${root}/include ${root}/include/torch/csrc/api/include)
  set(libraries torch torch_cpu c10)
  if(EXISTS ${root}/lib/libtorch_cuda.so)
    list(APPEND libraries torch_cuda c10_cuda)
    file(GLOB cuda_headers ${root}/../nvidia/cu*/include ${root}/../nvidia/nccl/include)
    target_include_directories(hearth_torch SYSTEM INTERFACE ${cuda_headers})
    target_compile_definitions(hearth_torch INTERFACE HEARTH_TORCH_CUDA=1)
  endif()
  target_link_directories(hearth_torch INTERFACE ${root}/lib)
  # Kernels register themselves when libtorch_cuda is loaded; nothing refers to them by name. What it needs itself is found
  # when the program starts.
  target_link_options(hearth_torch INTERFACE -Wl,--allow-shlib-undefined -Wl,-rpath,${root}/lib)
  target_link_libraries(hearth_torch INTERFACE -Wl,--push-state,--no-as-needed ${libraries} -Wl,--pop-state)
endfunction()

# What the forge lacks here, as Debian packages.
function(hearth_forge_missing result)
  set(missing "")
  if(NOT HEARTH_TORCH_ROOT)
    find_package(Torch QUIET)
    if(NOT Torch_FOUND)
      list(APPEND missing libtorch-dev libopenblas0-pthread)
    endif()
  endif()
  find_path(HEARTH_CLD2_HEADERS cld2/public/compact_lang_det.h)
  find_path(HEARTH_ZSTD_HEADERS zstd.h)
  find_path(HEARTH_YAML_HEADERS yaml-cpp/yaml.h)
  find_path(HEARTH_SQLITE_HEADERS sqlite3.h)
  foreach(package CLD2:libcld2-dev ZSTD:libzstd-dev YAML:libyaml-cpp-dev SQLITE:libsqlite3-dev)
    string(REGEX MATCH "^([A-Z0-9]+):(.*)$" _ ${package})
    if(NOT HEARTH_${CMAKE_MATCH_1}_HEADERS)
      list(APPEND missing ${CMAKE_MATCH_2})
    endif()
  endforeach()
  set(${result} "${missing}" PARENT_SCOPE)
endfunction()

if(NOT HEARTH_FORGE STREQUAL "OFF" AND NOT HEARTH_KERNELS_ONLY AND NOT HEARTH_SANITIZE)
  hearth_forge_missing(HEARTH_FORGE_MISSING)
  if(NOT HEARTH_FORGE_MISSING)
    set(HEARTH_BUILD_FORGE ON)
    # One target for whoever includes torch headers, which are not written for our warnings.
    add_library(hearth_torch INTERFACE)
    if(HEARTH_TORCH_ROOT)
      hearth_torch_from_wheel(${HEARTH_TORCH_ROOT})
    else()
      find_package(Torch REQUIRED)
      target_include_directories(hearth_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
      target_link_libraries(hearth_torch INTERFACE ${TORCH_LIBRARIES})
      separate_arguments(HEARTH_TORCH_FLAGS NATIVE_COMMAND "${TORCH_CXX_FLAGS}")
      target_compile_options(hearth_torch INTERFACE ${HEARTH_TORCH_FLAGS})
    endif()
    # PyTorch's libtorch.so exports parts of a libstdc++ of its own, std::filesystem::remove_all among them, which calls a null
    # pointer. So the compiler's libstdc++ is needed first, and named as a file: g++ moves a -lstdc++ to the end of the command.
    foreach(file libstdc++.so libstdc++.so.6)  # a compiler that has it elsewhere prints the name alone
      execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${file} OUTPUT_VARIABLE path
        OUTPUT_STRIP_TRAILING_WHITESPACE)
      if(IS_ABSOLUTE "${path}")
        target_link_options(hearth_torch INTERFACE "SHELL:-Wl,--push-state,--no-as-needed ${path} -Wl,--pop-state")
        break()
      endif()
    endforeach()
  else()
    list(JOIN HEARTH_FORGE_MISSING " " HEARTH_FORGE_MISSING)
    if(HEARTH_FORGE STREQUAL "ON")
      message(FATAL_ERROR "hearth-forge needs what is not installed here: ${HEARTH_FORGE_MISSING}")
    endif()
    message(STATUS "hearth-forge is not built; it would need: ${HEARTH_FORGE_MISSING}")
  endif()
endif()
