/** The `docker` section: the Engine's options in every spelling, and what options demand of each other. */
import { Effect, Redacted } from "effect";
import { describe, expect, it } from "vitest";
import { hostOf } from "../../../src/backend/docker/creation.ts";
import { variableLabel } from "../../../src/config/codecs.ts";
import { overlay } from "../../../src/config/overlay.ts";
import { validate } from "../../../src/config/validate.ts";
import { errorsOf, load, someAuth } from "./support.ts";

const docker = async (yaml: string) => (await load(`${someAuth}backend: docker\n${yaml}`)).config.docker;

describe("options of the Engine", () => {
  it("are read from the reference's YAML: lower case, resources nested", async () => {
    const { execution } = await docker(`
docker:
  execution:
    container: {image: lab, user: 1000, networkdisabled: true, workingdir: /work, cmd: [a, b], env: [A=1]}
    host:
      readonlyrootfs: true
      usernsmode: 1000:1000
      storageopt: {size: 524288000}
      tmpfs: {/tmp: "rw,size=65536k"}
      oomscoreadj: 500
      resources: {memory: 26214400, pidslimit: 1000, cpusetcpus: 1-3, oomkilldisable: true}
      mounts:
        - {type: bind, source: /a, target: /b, readonly: true, bindoptions: {propagation: private, nonrecursive: true}}
        - {type: tmpfs, target: /run, tmpfsoptions: {sizebytes: 1024, mode: 0755}}
    platform: {os: linux, architecture: arm64}
    containername: lab
`);
    expect(execution.container).toEqual({
      Image: "lab",
      User: "1000",
      NetworkDisabled: true,
      WorkingDir: "/work",
      Cmd: ["a", "b"],
      Env: [Redacted.make("A=1", { label: variableLabel })],
    });
    expect(hostOf(execution)).toEqual({
      ReadonlyRootfs: true,
      UsernsMode: "1000:1000",
      StorageOpt: { size: "524288000" },
      Tmpfs: { "/tmp": "rw,size=65536k" },
      OomScoreAdj: 500,
      Memory: 26214400,
      PidsLimit: 1000,
      CpusetCpus: "1-3",
      OomKillDisable: true,
      Mounts: [
        {
          Type: "bind",
          Source: "/a",
          Target: "/b",
          ReadOnly: true,
          BindOptions: { Propagation: "private", NonRecursive: true },
        },
        { Type: "tmpfs", Target: "/run", TmpfsOptions: { SizeBytes: 1024, Mode: 0o755 } },
      ],
    });
    expect(execution.platform).toEqual({ os: "linux", architecture: "arm64" });
    expect(execution.containerName).toBe("lab");
  });

  it.each(["networkdisabled", "NetworkDisabled", "networkDisabled", "NETWORKDISABLED"])(
    "are found in any case: %s",
    async (name) => {
      const { execution } = await docker(`docker: {execution: {container: {image: x, ${name}: true}}}`);
      expect(execution.container.NetworkDisabled).toBe(true);
    },
  );

  it("are read from a configuration server's JSON, the API's names with every zero value, over the file's", async () => {
    const { config } = await load(`${someAuth}backend: docker
docker: {execution: {container: {image: base, networkdisabled: true}, host: {resources: {pidslimit: 10, memory: 5}}}}
`);
    const merged = await Effect.runPromise(
      overlay(config, {
        docker: {
          execution: {
            container: {
              Image: "theirs",
              Hostname: "",
              Env: null,
              NetworkDisabled: false,
              Tty: false,
              Volumes: null,
            },
            host: { Memory: 7, CpuShares: 0, Binds: null, RestartPolicy: { Name: "", MaximumRetryCount: 0 } },
          },
        },
      }),
    );
    expect(merged.docker.execution.container).toMatchObject({ Image: "theirs", NetworkDisabled: true });
    expect(hostOf(merged.docker.execution)).toMatchObject({ PidsLimit: 10, Memory: 7 });
  });

  it("that the Engine does not have are errors with a suggestion", async () => {
    expect(
      await errorsOf(`${someAuth}backend: docker
docker: {execution: {container: {image: x, workingdirr: /}, host: {readonlyrootf: true}}}
`),
    ).toEqual([
      expect.stringMatching(
        /docker\.execution\.container\.workingdirr: unknown key \(did you mean "WorkingDir"\?\)/,
      ),
      expect.stringMatching(
        /docker\.execution\.host\.readonlyrootf: unknown key \(did you mean "ReadonlyRootfs"\?\)/,
      ),
    ]);
  });
});

describe("options of Berth", () => {
  it.each([
    ["execution: {mode: persistent}", /execution\.containerName: is missing/],
    ["execution: {idleTimeout: 1h}", /execution\.idleTimeout: has no meaning in mode connection/],
    [
      "execution: {createMissingContainers: true}",
      /execution\.createMissingContainers: has no meaning in mode connection/,
    ],
    [
      "execution: {mode: persistent, containerName: 'lab-{authenticatedUserName}'}",
      /containerName: \{authenticatedUserName\} is no placeholder: .* \(did you mean "\{authenticatedUsername\}"\?\)/,
    ],
    ["execution: {idleCommand: []}", /execution\.idleCommand: must not be empty in mode connection/],
    ["execution: {shellCommand: []}", /execution\.shellCommand: must not be empty in mode connection/],
    ["execution: {mode: session, host: {restartpolicy: {name: always}}}", /may not restart/],
    ["connection: {cert: x}", /connection\.cacert: is missing: TLS needs/],
    ["execution: {container: {user: jane}}", /execution\.container\.Image: is missing/],
    ["execution: {mode: containers}", /expected one of connection, session, persistent/],
    ["execution: {imagePullPolicy: Sometimes}", /expected one of Always, IfNotPresent, Never/],
  ])("%s is refused", async (options, reason) => {
    const errors = await errorsOf(`${someAuth}backend: docker\ndocker: {${options}}\n`, [validate]);
    expect(errors.join("\n")).toMatch(reason);
  });
});
