// The page of one file whose pictures come from tiles.

import { tileTransport } from "./tiles.js";
import { mountMap } from "./map.js";
import { given, host, map } from "./start.js";

tileTransport(given.transport).then((transport) => mountMap(host, map, transport));
