/** A change to settings (RFC 7396): absent fields stay, null takes one back to what a new object has. */
export type MergePatch<Settings> = { readonly [Field in keyof Settings]?: Settings[Field] | null }

export function merged<Settings extends object>(
  settings: Settings,
  patch: MergePatch<Settings>,
  defaults: Settings,
): Settings {
  const given = Object.entries(patch).map(([field, value]) => [
    field,
    value === null ? defaults[field as keyof Settings] : value,
  ])
  return { ...settings, ...Object.fromEntries(given) }
}
