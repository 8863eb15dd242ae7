$TTL 1h
@ IN SOA ns1 hostmaster (
        2024010101 ; serial
        4h 1h 2w ) ; the minimum is missing
  IN NS ns1
ns1 A 192.0.2.53
ns1 60 A 192.0.2.54
        ; a comment
www A 192.0.2.1 192.0.2.2
www 1y A 192.0.2.1
ftp CNAMR www
ftp CH A 192.0.2.1
mail A 192.0.2.25 )
txt TXT "never closed
txt TXT "closed"then
txt TXT key="value"
txt TXT "\300"
www.example.net. A 192.0.2.1
a..b A 192.0.2.1
$ORIGIN a..b
$TTL forever
$INCLUDES more
sig RRSIG A 8 2 3600 20240101000000 20240101000000 1 example.com. AAAA
more A ( 192.0.2.1
         192.0.2.2
last A 192.0.2.300
