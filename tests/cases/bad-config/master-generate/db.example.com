$GENERATE 1-300 host-$ A 192.0.2.$
$GENERATE 10-1 host-$ A 192.0.2.$
$GENERATE 1-3 host-${0,3,z} A 192.0.2.$
$GENERATE 1-3 host-${-2} A 192.0.2.$
$GENERATE 1-3 host-$ B 192.0.2.$
$GENERATE 1-3 host-$
$GENERATE 1-9000 many TXT x$
