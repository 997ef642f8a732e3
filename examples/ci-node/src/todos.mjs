// A list that follows a table.

export class Todos {
  #rows = new Map()
  isLive = false

  constructor(supabase, onChange = () => {}) {
    supabase
      .channel('todos')
      .on('postgres_changes', { event: '*', schema: 'public', table: 'todos' }, change => {
        if (change.eventType === 'DELETE') this.#rows.delete(change.old.id)
        else this.#rows.set(change.new.id, change.new)
        onChange(this)
      })
      .subscribe(status => {
        this.isLive = status === 'SUBSCRIBED'
        onChange(this)
      })
  }

  get titles() {
    return [...this.#rows.values()].map(({ title, done }) => (done ? `✓ ${title}` : title))
  }
}
