# find_package(Portunus) gives the target Portunus::Portunus and portunus_target_defs().

get_filename_component(portunus_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(PORTUNUS_MIG "${portunus_prefix}/bin/portunus-mig" CACHE FILEPATH "the program that makes stubs of .defs files")

if(NOT TARGET Portunus::Portunus)
	find_package(Threads REQUIRED)
	add_library(Portunus::Portunus SHARED IMPORTED)
	set_target_properties(Portunus::Portunus PROPERTIES
		IMPORTED_LOCATION "${CMAKE_CURRENT_LIST_DIR}/../../libportunus.so"
		INTERFACE_INCLUDE_DIRECTORIES "${portunus_prefix}/include"
		INTERFACE_LINK_LIBRARIES Threads::Threads)
endif()

# portunus_target_defs(TARGET NAME.defs...): adds the stubs of each NAME.defs to TARGET and links it with Portunus.
# TARGET may include NAME.h and NAME_server.h; it may leave out what it does not use of the two sides.
function(portunus_target_defs target)
	foreach(defs IN LISTS ARGN)
		get_filename_component(name "${defs}" NAME_WE)
		set(base "${CMAKE_CURRENT_BINARY_DIR}/${name}")
		set(stubs "${base}.h" "${base}_user.c" "${base}_server.h" "${base}_server.c")
		add_custom_command(
			OUTPUT ${stubs}
			COMMAND "${PORTUNUS_MIG}" -o "${CMAKE_CURRENT_BINARY_DIR}" "${defs}"
			WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
			MAIN_DEPENDENCY "${defs}"
			DEPENDS "${PORTUNUS_MIG}"
			VERBATIM)
		target_sources(${target} PRIVATE ${stubs})
	endforeach()
	target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}")
	target_link_libraries(${target} PRIVATE Portunus::Portunus)
endfunction()
