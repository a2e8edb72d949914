/**
 * The conformance suite against Berth with the Kubernetes backend and an API server of our own: exec by
 * `v5.channel.k8s.io`, which the cluster of test/kubernetes does not speak.
 */
import { conformance, type Started } from "../support/conformance.ts";
import { openApi } from "../support/kubernetes-api/server.ts";
import { kubernetesConfig, newPerson, serve } from "../support/kubernetes-daemon.ts";

const start = async (): Promise<Started> => {
  const person = await newPerson();
  const api = await openApi({ protocol: "v5.channel.k8s.io" });
  const serving = await serve(person, {
    config: await kubernetesConfig(person, { host: api.url }, { shellCommand: ["/bin/bash"] }),
  });
  return {
    ssh: serving.target,
    cleanup: async () => {
      await serving[Symbol.asyncDispose]();
      await api.close();
      await person[Symbol.asyncDispose]();
    },
  };
};

conformance("kubernetes, v5.channel.k8s.io", start);
