// The page of one file whose pictures come from tiles.

import { mountMap } from "./map.js";
import { given, host, map } from "./start.js";
import { tileTransport } from "./tiles.js";
import { withSheets } from "./transport.js";

tileTransport(given.transport).then((tiles) => mountMap(host, map, withSheets(tiles)));
