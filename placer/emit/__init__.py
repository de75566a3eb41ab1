"""Writers: a plan as libvirt XML, scripts, command lines and tables."""
