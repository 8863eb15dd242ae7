@ SOA ns1 hostmaster 1 2 3 4 5
@ SOA ns1 hostmaster 1 2 3 4 5
sub SOA ns1 hostmaster 1 2 3 4 5
@ NS ns2.example.net.
NS1 A 192.0.2.54
www TXT b
www A 192.0.2.1
