/** The `kubernetes` section: what its options demand of each other. */
import { describe, expect, it } from "vitest";
import { errorsOf, load, someAuth } from "./support.ts";

const section = (options: string) => `${someAuth}backend: kubernetes\nkubernetes: {${options}}\n`;

describe("the kubernetes section", () => {
  it.each([
    ["pod: {mode: persistent}", /pod\.metadata\.name: is missing/],
    [
      "pod: {mode: persistent, metadata: {name: lab, generateName: lab-}}",
      /pod\.metadata\.generateName: a pod of mode persistent is found by its name/,
    ],
    ["pod: {createMissingPods: true}", /pod\.createMissingPods: has no meaning in mode connection/],
    ["pod: {idleTimeout: 1h}", /pod\.idleTimeout: has no meaning without mode persistent/],
    ["pod: {recreateOutdated: whenUnused}", /pod\.recreateOutdated: has no meaning without mode persistent/],
    [
      "pod: {mode: persistent, metadata: {name: lab}, idleTimeout: 1h}",
      /pod\.idleTimeout: has no meaning without mode persistent and createMissingPods/,
    ],
    [
      "pod: {mode: persistent, metadata: {name: 'lab-{authenticatedusername}'}}",
      /pod\.metadata\.name: \{authenticatedusername\} is no placeholder: .* \(did you mean "\{authenticatedUsername\}"\?\)/,
    ],
    ["pod: {mode: persistent, metadata: {name: '{foo}-{username}'}}", /\{foo\} is no placeholder: .*KEY\}$/],
    ["pod: {mode: persistent, metadata: {name: 'lab-{username'}}", /\{username is no placeholder/],
    ["pod: {mode: session, spec: {restartPolicy: Always, containers: [{image: a}]}}", /may not restart/],
    ["pod: {idleCommand: []}", /pod\.idleCommand: must not be empty in mode connection/],
    ["pod: {shellCommand: []}", /pod\.shellCommand: must not be empty/],
    ["pod: {spec: {containers: []}}", /pod\.spec\.containers: at least one container/],
    ["pod: {spec: {containers: [{name: a}]}}", /pod\.spec\.containers\[0\]\.image: is missing/],
    ["pod: {consoleContainerNumber: 1}", /there is no container number 1/],
    ["connection: {certFile: /dev/null}", /connection\.key: is missing: there is a client certificate/],
    ["connection: {keyFile: /dev/null}", /connection\.cert: is missing: there is a client key/],
    ["connection: {username: a, bearerToken: b}", /exclude each other/],
  ])("%s is refused", async (options, reason) => {
    expect((await errorsOf(section(options))).join("\n")).toMatch(reason);
  });

  it.each([
    "pod: {mode: persistent, metadata: {name: lab}, consoleContainerNumber: 1, idleCommand: []}",
    "pod: {mode: persistent, metadata: {name: lab, generateName: containerssh-}}",
    "pod: {mode: persistent, createMissingPods: true, metadata: {name: '{authenticatedUsername}-{metadata.team}'}, idleTimeout: 8h, recreateOutdated: whenUnused}",
    "pod: {mode: session, spec: {restartPolicy: Never, containers: [{image: a}]}, idleCommand: []}",
    "connection: {certFile: /dev/null, keyFile: /dev/null}",
  ])("%s is accepted", async (options) => {
    expect((await load(section(options))).warnings).toEqual([]);
  });

  it("warns of files that are not there", async () => {
    const { warnings } = await load(section("connection: {bearerTokenFile: /nowhere/token}"));
    expect(warnings).toMatchObject([{ path: "kubernetes.connection.bearerTokenFile" }]);
  });
});
