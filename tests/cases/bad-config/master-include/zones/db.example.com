$INCLUDE ../outside.zone
$INCLUDE missing.zone
$INCLUDE loop.zone
$INCLUDE bad.zone sub
$INCLUDE bad.zone sub too much
