/** Walks machines/provisioning.ts: logins to each backend, with a place for programs behind it, or nothing. */
import { afterAll, beforeAll } from "vitest";
import type { BackendName } from "../../machines/facts.ts";
import { provisioningMachine } from "../../machines/provisioning.ts";
import {
  type LoginWorld,
  loginWorld,
  seesGranted,
  seesProgram,
  seesRefusal,
} from "../support/model/login.ts";
import { type ObservedDaemon, startObserved } from "../support/model/observed.ts";
import { askingPortal, openPortal, type Portal } from "../support/model/portal.ts";
import { type Beginning, type Cause, done, REFUSAL, walk } from "../support/model/walk.ts";
import { freePort } from "../support/ports.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { hopTo } from "../support/sshproxy.ts";

let portal: Portal;
let sshd: Sshd;
let daemon: ObservedDaemon;
/** Where nothing listens. */
let nowhere: string;

beforeAll(async () => {
  portal = await openPortal();
  sshd = await startSshd();
  nowhere = `127.0.0.1:${await freePort()}`;
  daemon = await startObserved({ config: askingPortal(portal) });
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await sshd?.[Symbol.asyncDispose]();
  await portal?.[Symbol.asyncDispose]();
});

const loginTo = (backend: BackendName, section: () => object): Beginning<LoginWorld> => ({
  input: { connectionId: "", identity: {}, settings: { backend } },
  arrange: ({ overlay }) => {
    overlay.backend = backend;
    overlay[backend] = section();
  },
});

const ends = (backend: BackendName, output: object): Cause<LoginWorld> => ({
  event: done(provisioningMachine, `provisioning.${backend}`, output),
});
const READY = { kind: "ready", environment: {} };
const REFUSED = { kind: "refused", refusal: REFUSAL };

walk<LoginWorld>("provisioning", {
  beginnings: {
    "the backend is docker": loginTo("docker", () => ({ connection: { host: `tcp://${nowhere}` } })),
    "the backend is kubernetes": loginTo("kubernetes", () => ({
      connection: { host: `https://${nowhere}`, bearerToken: "none" },
      pod: { mode: "persistent", createMissingPods: false, metadata: { name: "none" } },
    })),
    "the backend is process": loginTo("process", () => ({})),
    "the backend is sshproxy": loginTo("sshproxy", () => hopTo(sshd)),
  },
  causes: {
    "the Engine does not answer": ends("docker", REFUSED),
    "the API server does not answer": ends("kubernetes", REFUSED),
    "the place on this machine is ready": ends("process", READY),
    "the server behind lets the user in": ends("sshproxy", READY),
  },
  world: async () => loginWorld(portal),
  daemon: async () => daemon,
  begin: (world, observed) => world.logIn(observed),
  looks: {
    "provisioning.docker": seesGranted,
    "provisioning.kubernetes": seesGranted,
    "provisioning.process": seesGranted,
    "provisioning.sshproxy": seesGranted,
    "provisioning.ready": seesProgram,
    "provisioning.refused": seesRefusal(
      ["DOCKER_ENGINE_UNREACHABLE", "does not answer"],
      ["KUBERNETES_API_UNAVAILABLE", "can't be reached at the moment"],
    ),
  },
  unreached: {
    "provisioning.choosingBackend|always|4":
      "the configuration allows no other backend than these four: test/unit/machines/provisioning.test.ts",
  },
});
