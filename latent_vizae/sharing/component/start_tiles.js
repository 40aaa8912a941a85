// The page of one file whose pictures come from tiles.

import { mountMap } from "./map.js";
import { given, host, map } from "./start.js";
import { tileTransport } from "./tiles.js";

tileTransport(given.transport).then((transport) => mountMap(host, map, transport));
