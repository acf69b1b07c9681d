import { describe, expect, it } from 'vitest'
import type { AuditRow } from '../../src/audit/audit-chain.ts'
import type { FieldChanges } from '../../src/audit/audit-event.ts'
import { changesToRepeat, endedBy } from '../../src/tombstones/trail.ts'

const AT = '2026-11-29T10:00:00.123456Z'
const MS = Date.parse(AT)
let id = 0

function row(
  action: string,
  target: string,
  changes: FieldChanges = {},
  more: Partial<AuditRow> = {},
): AuditRow {
  return {
    id: ++id,
    at: AT,
    actor: 'root',
    action,
    outcome: 'done',
    target_kind: action.split('.')[0] ?? '',
    target_id: target,
    tenant: 'acme',
    request_id: null,
    source: null,
    changes,
    previous_hash: '',
    hash: '',
    ...more,
  }
}

const named = (rows: readonly AuditRow[]) =>
  endedBy(rows).map(({ kind, id: of, owner, at }) => [kind, of, owner, at - MS])

describe('what an exported audit trail has as ended', () => {
  it.each([
    ['a revoked key', row('key.revoke', 'key_1'), [['key_revoked', 'key_1', 'acme', 0]]],
    ['a disabled key', row('key.disable', 'key_1'), [['key_disabled', 'key_1', 'acme', 0]]],
    [
      'a revoked secret',
      row('key.secret-revoke', 'key_1', { secretId: { to: 'sec_1' } }),
      [['secret_ended', 'sec_1', 'key_1', 0]],
    ],
    [
      'the older secret of a rotation, at the end of the overlap',
      row('key.rotate', 'key_1', {
        secretId: { to: 'sec_2' },
        secretEnds: { to: [{ id: 'sec_1', endsAt: '2026-11-29T11:00:00.123Z' }] },
      }),
      [['secret_ended', 'sec_1', 'key_1', 3_600_000]],
    ],
    [
      'a rotation that waits for its new secret',
      row('key.rotate', 'key_1', { secretId: { to: 'sec_2' } }),
      [],
    ],
    [
      'the older secret once the new one is confirmed',
      row('key.secret-confirm', 'key_1', {
        secretId: { to: 'sec_2' },
        secretEnds: { to: [{ id: 'sec_1', endsAt: AT }] },
      }),
      [['secret_ended', 'sec_1', 'key_1', 0]],
    ],
    [
      'a deleted credential',
      row('key.credential-delete', 'key_1', { credentialId: { from: 'crd_1' } }),
      [['credential_deleted', 'crd_1', 'key_1', 0]],
    ],
    ['a suspended tenant', row('tenant.suspend', 'acme'), [['tenant_suspended', 'acme', null, 0]]],
    ['a deleted tenant', row('tenant.delete', 'acme'), [['tenant_deleted', 'acme', null, 0]]],
    ['a revoked signing key', row('signing-key.revoke', 'kid'), [['signing_key_revoked', 'kid', null, 0]]],
    [
      'a signing key that was not genuine',
      row('signing-key.discard', 'kid'),
      [['signing_key_revoked', 'kid', null, 0]],
    ],
    [
      'a revoked admin token',
      row('admin-token.revoke', 'adm_1'),
      [['admin_token_revoked', 'adm_1', 'acme', 0]],
    ],
    [
      'a deleted identity provider',
      row('identity-provider.delete', 'idp_1'),
      [['provider_deleted', 'idp_1', null, 0]],
    ],
    [
      'a deleted usage reporter',
      row('usage-reporter.delete', 'rep_1'),
      [['usage_reporter_deleted', 'rep_1', null, 0]],
    ],
    [
      'the older secret of a rotated usage reporter',
      row('usage-reporter.rotate', 'rep_1', {
        secretId: { to: 'sec_2' },
        secretEnds: { to: [{ id: 'sec_1', endsAt: AT }] },
      }),
      [['usage_reporter_secret_ended', 'sec_1', 'rep_1', 0]],
    ],
    [
      'a revoked secret of a usage reporter',
      row('usage-reporter.secret-revoke', 'rep_1', { secretId: { to: 'sec_1' } }),
      [['usage_reporter_secret_ended', 'sec_1', 'rep_1', 0]],
    ],
    ['a refused revocation', row('key.revoke', 'key_1', {}, { outcome: 'refused' }), []],
    ['a new key', row('key.create', 'key_1', { secretId: { to: 'sec_1' } }), []],
  ] as const)('%s', (_, one, expected) => {
    expect(named([one])).toEqual(expected)
  })

  it('not what was enabled or resumed later, unless it ended again', () => {
    const both = (last: AuditRow[]) =>
      named([row('key.disable', 'key_1'), row('tenant.suspend', 'acme'), ...last]).map(([kind]) => kind)
    expect(both([])).toEqual(['key_disabled', 'tenant_suspended'])
    expect(both([row('key.enable', 'key_1'), row('tenant.resume', 'acme')])).toEqual([])
    expect(both([row('key.enable', 'key_1'), row('key.disable', 'key_1')])).toEqual([
      'tenant_suspended',
      'key_disabled',
    ])
  })
})

it('lists as to be made again what is no end, and rotations, whose new secret is gone', () => {
  const rows = [
    row('tenant.update', 'acme'),
    row('key.revoke', 'key_1'),
    row('key.rotate', 'key_2', { secretEnds: { to: [{ id: 'sec_1', endsAt: AT }] } }),
    row('key.create', 'key_3'),
    row('tenant.create', 'other', {}, { outcome: 'refused' }),
    row('tenant.resume', 'acme'),
    row('installation.update', 'installation'),
    row('audit.export', 'audit'),
    row('signing-key.active', 'kid'),
    row('installation.reseal', 'installation'),
    row('restore.notice', 'restore'),
    row('token-revocation.create', 'rev'),
  ]
  expect(changesToRepeat(rows).map(({ action }) => action)).toEqual([
    'tenant.update',
    'key.rotate',
    'key.create',
    'tenant.resume',
    'installation.update',
  ])
})
