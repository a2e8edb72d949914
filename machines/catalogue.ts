/** Every machine there is, by its file's name, in the order in which a login meets them: what is drawn, watched and walked. */
import type { AnyStateMachine } from "xstate";
import { authenticationMachine } from "./authentication.ts";
import { authorizationCodeMachine } from "./authorization-code.ts";
import { connectionMachine } from "./connection.ts";
import { daemonMachine } from "./daemon.ts";
import { deviceFlowMachine } from "./device-flow.ts";
import { dockerMachine } from "./docker.ts";
import { dockerImageMachine } from "./docker-image.ts";
import { kerberosMachine } from "./kerberos.ts";
import { kubernetesMachine } from "./kubernetes.ts";
import { oidcMachine } from "./oidc.ts";
import { processMachine } from "./process.ts";
import { provisioningMachine } from "./provisioning.ts";
import { serviceMachine } from "./service.ts";
import { sessionMachine } from "./session.ts";
import { sshProxyMachine } from "./sshproxy.ts";

export const catalogue: Readonly<Record<string, AnyStateMachine>> = {
  daemon: daemonMachine,
  service: serviceMachine,
  connection: connectionMachine,
  authentication: authenticationMachine,
  oidc: oidcMachine,
  "device-flow": deviceFlowMachine,
  "authorization-code": authorizationCodeMachine,
  kerberos: kerberosMachine,
  provisioning: provisioningMachine,
  docker: dockerMachine,
  "docker-image": dockerImageMachine,
  kubernetes: kubernetesMachine,
  sshproxy: sshProxyMachine,
  process: processMachine,
  session: sessionMachine,
};
