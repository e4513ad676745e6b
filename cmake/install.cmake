foreach(program stax stax-server)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()
# Beside the other programs' data: `sudo stax setup` copies it from here to where root runs it.
install(TARGETS staxd RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/stax)
file(GLOB stax_manuals CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/man/*.1)
install(FILES ${stax_manuals} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
# Socket activation for users who want it: systemctl --user enable --now stax-server.socket
file(GLOB stax_units CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/server/systemd/*.service
  ${CMAKE_SOURCE_DIR}/server/systemd/*.socket)
install(FILES ${stax_units} DESTINATION lib/systemd/user)
