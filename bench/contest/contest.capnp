# SPDX-License-Identifier: MIT
@0xd2d6a1e0f1b34c55;

interface Contest {
	do @0 (request :Data) -> (answer :Data);
	pass @1 (request :Data) -> (answer :Data, object :Object);
	post @2 (request :Data) -> stream;
}

interface Object {
	ping @0 () -> ();
}
