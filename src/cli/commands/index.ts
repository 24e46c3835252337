import type { Command } from 'commander'
import type { Runner } from '../command.ts'
import { addAmend } from './amend.ts'
import { addAppend } from './append.ts'
import { addBackup } from './backup.ts'
import { addConflicts } from './conflicts.ts'
import { addIdentity } from './identity.ts'
import { addImport } from './import.ts'
import { addInit } from './init.ts'
import { addInvite } from './invite.ts'
import { addJoin } from './join.ts'
import { addMembers } from './members.ts'
import { addPeers } from './peers.ts'
import { addPolicy } from './policy.ts'
import { addQuery } from './query.ts'
import { addRemove } from './remove.ts'
import { addResolve } from './resolve.ts'
import { addRun } from './run.ts'
import { addSensor } from './sensor.ts'
import { addSensors } from './sensors.ts'
import { addStart } from './start.ts'
import { addStatus } from './status.ts'
import { addVault } from './vault.ts'

/** Every command, in the order of the help. */
export const commands: readonly ((root: Command, runner: Runner) => void)[] = [
  addStart,
  addInit,
  addRun,
  addInvite,
  addJoin,
  addIdentity,
  addImport,
  addAppend,
  addQuery,
  addAmend,
  addRemove,
  addConflicts,
  addResolve,
  addSensors,
  addSensor,
  addPeers,
  addMembers,
  addStatus,
  addPolicy,
  addVault,
  addBackup,
]
