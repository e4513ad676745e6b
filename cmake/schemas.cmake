# cli/schemas/NAME.json becomes generated/cli/schemas/NAME.json.h with the text as NAME_schema.
file(GLOB stax_schemas CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cli/schemas/*.json)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/cli/schemas)
foreach(schema ${stax_schemas})
  get_filename_component(stem ${schema} NAME_WE)
  set(header ${CMAKE_BINARY_DIR}/generated/cli/schemas/${stem}.json.h)
  add_custom_command(OUTPUT ${header} COMMAND sqlgen --text ${stem}_schema ${schema} ${header}
    DEPENDS sqlgen ${schema} COMMENT "sqlgen cli/schemas/${stem}.json" VERBATIM)
  target_sources(cli PRIVATE ${header})
endforeach()
