/** The whole daemon with the Kubernetes backend, and people who log in to it by key. */
import { type Configuration, type Daemon, type DaemonOptions, startDaemon } from "./daemon.ts";
import { generateKey, type Key } from "./keys.ts";
import { BUSYBOX, IDLE, specFor } from "./kubernetes.ts";
import { directory } from "./resources.ts";
import { SshClient, type SshTarget } from "./ssh.ts";
import { usersAuth } from "./users.ts";

type Raw = Readonly<Record<string, unknown>>;

/** The user `demo` and a key of theirs. */
export interface Person extends AsyncDisposable {
  readonly key: Key;
}

export const newPerson = async (): Promise<Person> => {
  const keys = await directory();
  return { key: await generateKey(keys.path, "user"), [Symbol.asyncDispose]: keys[Symbol.asyncDispose] };
};

/** `pod` goes over one that suits the test image. */
export const kubernetesConfig = async (
  { key }: Person,
  connection: Raw,
  pod: Raw = {},
): Promise<Configuration> => ({
  auth: await usersAuth({ name: "demo", keys: [key.publicKey] }),
  backend: "kubernetes",
  kubernetes: {
    connection: { qps: 50, burst: 100, ...connection },
    pod: { spec: specFor(BUSYBOX), idleCommand: IDLE, shellCommand: ["/bin/sh"], ...pod },
    timeouts: { podStart: "120s" },
  },
});

export interface Serving extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly target: SshTarget;
  readonly client: SshClient;
}

/** A daemon and a client of the person's. */
export const serve = async (person: Person, options: DaemonOptions): Promise<Serving> => {
  const daemon = await startDaemon(options);
  const target = daemon.target({ identityFile: person.key.file });
  const client = await SshClient.to(target);
  return {
    daemon,
    target,
    client,
    [Symbol.asyncDispose]: async () => {
      await client[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
    },
  };
};
