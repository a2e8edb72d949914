/** Where a connection's programs run: its backend's own machine prepares the place, or says why there is none. */
import { assign, setup } from "xstate";
import { dockerMachine } from "./docker.ts";
import type { BackendName, Environment, Provisioning, ProvisioningOutcome, Refusal } from "./facts.ts";
import { kubernetesMachine } from "./kubernetes.ts";
import { processMachine } from "./process.ts";
import { sshProxyMachine } from "./sshproxy.ts";

interface ProvisioningContext extends Provisioning {
  readonly environment: Environment | undefined;
  readonly refusal: Refusal | undefined;
}

const backendMissing = ({ settings }: ProvisioningContext): Refusal => ({
  code: "BACKEND_CONFIG_ERROR",
  level: "error",
  userMessage: "Your environment is not configured correctly. Please ask your administrator.",
  message: "The configured backend is not available",
  details: { backend: settings.backend },
});

/** How every backend ends. */
const settled = {
  target: "settled",
  actions: {
    type: "keepOutcome",
    params: ({ event }: { event: { output: ProvisioningOutcome } }) => event.output,
  },
} as const;

export const provisioningMachine = setup({
  types: {
    input: {} as Provisioning,
    context: {} as ProvisioningContext,
    output: {} as ProvisioningOutcome,
  },
  actors: {
    docker: dockerMachine,
    kubernetes: kubernetesMachine,
    process: processMachine,
    sshproxy: sshProxyMachine,
  },
  actions: {
    keepOutcome: assign((_, outcome: ProvisioningOutcome) =>
      outcome.kind === "ready" ? { environment: outcome.environment } : { refusal: outcome.refusal },
    ),
  },
  guards: {
    runsOn: ({ context }, backend: BackendName) => context.settings.backend === backend,
    hasEnvironment: ({ context }) => context.environment !== undefined,
  },
}).createMachine({
  id: "provisioning",
  context: ({ input }) => ({ ...input, environment: undefined, refusal: undefined }),
  output: ({ context: { environment, refusal } }) => {
    if (refusal !== undefined) return { kind: "refused", refusal };
    if (environment === undefined) throw new Error("provisioning ended with nothing");
    return { kind: "ready", environment };
  },
  initial: "choosingBackend",
  states: {
    choosingBackend: {
      always: [
        { guard: { type: "runsOn", params: "docker" }, target: "docker" },
        { guard: { type: "runsOn", params: "kubernetes" }, target: "kubernetes" },
        { guard: { type: "runsOn", params: "process" }, target: "process" },
        { guard: { type: "runsOn", params: "sshproxy" }, target: "sshproxy" },
        {
          target: "refused",
          actions: assign(({ context }) => ({ refusal: backendMissing(context) })),
        },
      ],
    },
    docker: { invoke: { src: "docker", input: ({ context }) => context, onDone: settled } },
    kubernetes: { invoke: { src: "kubernetes", input: ({ context }) => context, onDone: settled } },
    process: { invoke: { src: "process", input: ({ context }) => context, onDone: settled } },
    sshproxy: { invoke: { src: "sshproxy", input: ({ context }) => context, onDone: settled } },
    settled: {
      always: [{ guard: "hasEnvironment", target: "ready" }, { target: "refused" }],
    },
    ready: { type: "final" },
    refused: { type: "final" },
  },
});
