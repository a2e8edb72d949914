/**
 * A real MIT KDC on the loopback, with two realms that trust each other or a single one, and clients' credential
 * caches of their own: nothing of the machine's /etc/krb5.conf, keytab or tickets takes part.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { must, type Running, start, transcriptOf } from "./command.ts";
import { freePort } from "./ports.ts";
import { type Directory, directory } from "./resources.ts";
import type { Transcript } from "./transcript.ts";

export const REALM = "BERTH.TEST";
export const PARTNER = "PARTNER.TEST";
/** The server's principal: clients that connect to `localhost` ask for its ticket. */
export const SERVICE = "host/localhost";

export interface KdcOptions {
  /** Principals with their passwords; names without a realm are of `REALM`. */
  readonly users: Readonly<Record<string, string>>;
  /** Another KDC's, to answer in its place: an impostor with a database of its own. */
  readonly ports?: Kdc["ports"];
  /** How far its clock is behind, as libfaketime takes it: `-2h`. */
  readonly clock?: string;
  /** Lines for `[libdefaults]` of clients and servers. */
  readonly libdefaults?: readonly string[];
  /** Lines for the section of `REALM`, such as `auth_to_local`. */
  readonly realm?: readonly string[];
}

export interface Kdc extends AsyncDisposable {
  readonly ports: { readonly [REALM]: number; readonly [PARTNER]: number };
  /** The file with both realms, for clients and servers. */
  readonly configPath: string;
  /** With a key of `SERVICE`. */
  readonly keytab: string;
  /** Runs commands of kadmin(8) in the realm. */
  readonly admin: (realm: string, ...commands: readonly string[]) => Promise<void>;
  /** Logs a user in, with options of kinit(1), and gives the environment of who has the ticket. */
  readonly kinit: (principal: string, ...options: readonly string[]) => Promise<Tickets>;
  /** The environment of somebody without a ticket. */
  readonly noTickets: Tickets;
  /** What the KDC says of each ticket that it gave or refused. */
  readonly log: Transcript;
  /** Ends the KDC, as a crash would; its port stays free. */
  readonly kill: () => Promise<void>;
}

/** Environment variables for programs that have somebody's tickets. */
export interface Tickets {
  readonly KRB5_CONFIG: string;
  readonly KRB5CCNAME: string;
}

const MASTER_PASSWORD = "master";

export const startKdc = async (options: KdcOptions): Promise<Kdc> => {
  const home = await directory();
  const ports = options.ports ?? { [REALM]: await freePort(), [PARTNER]: await freePort() };
  const configPath = join(home.path, "krb5.conf");
  await writeFile(configPath, clientConfiguration(ports, options));
  await writeFile(join(home.path, "kdc.conf"), serverConfiguration(home, ports));
  const env = { KRB5_CONFIG: configPath, KRB5_KDC_PROFILE: join(home.path, "kdc.conf") };
  const admin: Kdc["admin"] = async (realm, ...commands) => {
    // kadmin reads commands until the end and ends well whatever they did.
    const { stderr } = await must("kadmin.local", ["-r", realm], { env, stdin: `${commands.join("\n")}\n` });
    const failures = stderr
      .split("\n")
      .filter((line) => /^(add|modify|change|kt|get|delete)_?\w+:/.test(line));
    if (failures.length > 0) throw new Error(failures.join("\n"));
  };
  let running: Running | undefined;
  try {
    await Promise.all(
      [REALM, PARTNER].map((realm) =>
        must("kdb5_util", ["-r", realm, "create", "-s", "-P", MASTER_PASSWORD], { env }),
      ),
    );
    const keytab = join(home.path, "krb5.keytab");
    await admin(REALM, `addprinc -randkey ${SERVICE}`, `ktadd -k ${keytab} ${SERVICE}`);
    for (const realm of [REALM, PARTNER]) {
      const users = Object.entries(options.users).filter(([name]) => realmOf(name) === realm);
      const trust = [`krbtgt/${REALM}@${PARTNER}`, `krbtgt/${PARTNER}@${REALM}`];
      await admin(
        realm,
        ...trust.map((name) => `addprinc -pw trusted ${name}`),
        ...users.map(([name, password]) => `addprinc -pw ${password} ${name}`),
      );
    }
    const served = await serve(options.clock, env);
    running = served.running;
    let caches = 0;
    return {
      ports,
      configPath,
      keytab,
      log: served.log,
      admin,
      noTickets: { KRB5_CONFIG: configPath, KRB5CCNAME: `FILE:${join(home.path, "none")}` },
      kinit: async (principal, ...kinitOptions) => {
        caches += 1;
        const tickets = { KRB5_CONFIG: configPath, KRB5CCNAME: `FILE:${join(home.path, `cc${caches}`)}` };
        const password = options.users[principal] ?? "";
        const env = { ...tickets, ...clockOf(options.clock) };
        await must("kinit", [...kinitOptions, principal], { env, stdin: `${password}\n` });
        return tickets;
      },
      kill: async () => {
        running?.kill("SIGKILL");
        await running?.ending;
      },
      [Symbol.asyncDispose]: async () => {
        if (running !== undefined) await endUnderClock(running);
        await home[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await running?.[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
    throw error;
  }
};

/** The environment of a program whose clock is behind. */
export const clockOf = (clock: string | undefined): Readonly<Record<string, string>> =>
  clock === undefined ? {} : { LD_PRELOAD: "/usr/$LIB/faketime/libfaketime.so.1", FAKETIME: clock };

/** Ends a program that may run under another clock: libfaketime leaves two files of those that are killed. */
export const endUnderClock = async (running: Running): Promise<void> => {
  await running[Symbol.asyncDispose]();
  for (const name of ["faketime_shm", "sem.faketime_sem"]) {
    await rm(`/dev/shm/${name}_${running.pid}`, { force: true });
  }
};

/** An at sign behind a backslash belongs to the name. */
const realmOf = (principal: string): string => /[^\\]@(.+)$/.exec(principal)?.[1] ?? REALM;

const serve = async (
  clock: string | undefined,
  env: Readonly<Record<string, string>>,
): Promise<{ readonly running: Running; readonly log: Transcript }> => {
  const running = start("krb5kdc", ["-n", "-r", REALM, "-r", PARTNER], {
    env: { ...env, ...clockOf(clock) },
  });
  const log = transcriptOf(running.stderr);
  running.stdout.resume();
  await log.waitFor("commencing operation");
  return { running, log };
};

/** An opening brace has to end its line, or the file is rejected. */
const clientConfiguration = (
  ports: Kdc["ports"],
  { libdefaults = [], realm = [] }: KdcOptions,
): string => `[libdefaults]
  default_realm = ${REALM}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  forwardable = true
${libdefaults.map((line) => `  ${line}\n`).join("")}[realms]
  ${REALM} = {
    kdc = 127.0.0.1:${ports[REALM]}
${realm.map((line) => `    ${line}\n`).join("")}  }
  ${PARTNER} = {
    kdc = 127.0.0.1:${ports[PARTNER]}
  }
[domain_realm]
  localhost = ${REALM}
`;

const serverConfiguration = ({ path }: Directory, ports: Kdc["ports"]): string => `[realms]
${[REALM, PARTNER]
  .map(
    (realm) => `  ${realm} = {
    database_name = ${path}/${realm}
    key_stash_file = ${path}/${realm}.stash
    kdc_listen = 127.0.0.1:${ports[realm as keyof Kdc["ports"]]}
    kdc_tcp_listen = 127.0.0.1:${ports[realm as keyof Kdc["ports"]]}
    supported_enctypes = aes256-cts:normal aes128-cts:normal
  }
`,
  )
  .join("")}[logging]
  kdc = STDERR
  admin_server = STDERR
`;
