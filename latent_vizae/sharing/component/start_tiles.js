tileTransport(given.transport).then((transport) => mountMap(host, map, transport));
